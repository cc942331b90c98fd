'use strict';
// A secret that master and slave both know, from the environment: signs calls and answers, and checks those that come.

const fs = require('node:fs');
const { createHmac, randomBytes, timingSafeEqual } = require('node:crypto');
const grpc = require('@grpc/grpc-js');

const WINDOW = 300; // seconds by which the two clocks may differ
const MOST = 16_384; // signatures that are remembered of one token
const SLAVE = '/interaction.v1.SlaveService/';
const MASTER = '/interaction.v1.MasterService/';
const seconds = () => Math.floor(Date.now() / 1000);

// What is wrong with a signature; `reason` is the error code's name.
class BadSignature extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

// INTERACTION_SECRET holds one secret or several, with commas or white space between; INTERACTION_SECRET_FILE names a file
// that does.
function secretsOf({ INTERACTION_SECRET: text, INTERACTION_SECRET_FILE: file }) {
  if (text !== undefined && file !== undefined) {
    throw new Error('INTERACTION_SECRET and INTERACTION_SECRET_FILE are both set: unset one of them');
  }
  if (text === undefined && file === undefined) return [];
  const name = file === undefined ? 'INTERACTION_SECRET' : `INTERACTION_SECRET_FILE (${file})`;
  const secrets = (text ?? contentOf(file)).split(/[\s,]+/).filter(Boolean);
  if (!secrets.length || secrets.length > 8 || secrets.some((secret) => !/^[!-~]{32,1024}$/.test(secret))) {
    throw new Error(`${name}: 1 to 8 secrets, of 32 to 1024 characters of ASCII each`);
  }
  return secrets;
}

// Of a file that nobody else on this host may read or change.
function contentOf(path) {
  const file = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0)); // which waits for no pipe
  try {
    const { mode, uid, size } = fs.fstatSync(file);
    const refuse = (why) => { throw new Error(`INTERACTION_SECRET_FILE (${path}) ${why}`); };
    if ((mode & fs.constants.S_IFMT) !== fs.constants.S_IFREG) refuse('is no file');
    if (process.geteuid && ![0, process.geteuid()].includes(uid)) refuse('belongs to another user, who may change it');
    if (process.geteuid && mode & 0o027) refuse('may be read or changed by others on this host: chmod 0400 (or 0440)');
    if (size > 64 * 1024) refuse('is longer than any secret');
    return fs.readFileSync(file, 'utf8');
  } finally {
    fs.closeSync(file);
  }
}

const first = (metadata, key) => metadata.get(key)[0] ?? '';

// What is signed: the call as its metadata have it, and what its signature claims.
function canonical(path, metadata, claim) {
  return [path, ...['channel', 'token', 'previous-token'].map((key) => first(metadata, key)), claim].join('\n');
}

const macOf = (secret, text) => createHmac('sha256', secret).update(text).digest();

// By which whoever knows the secret answers the call that was signed so.
const answerBy = (secret, signature) => macOf(secret, `answer\n${signature.slice(-64)}`).toString('hex');

// Whether who has answered a call, with one of these metadata, knows a secret. Where there is none anybody is believed.
function believes(secrets, signed, ...came) {
  const known = secrets.map((secret) => Buffer.from(answerBy(secret, first(signed, 'signature'))));
  const shown = came.flatMap((metadata) => metadata?.get('answer-signature') ?? []).map((text) => Buffer.from(text));
  return !secrets.length || shown.some((one) => known.some((mac) => mac.length === one.length && timingSafeEqual(mac, one)));
}

// Adds a signature to the metadata of one call to a master.
function sign(secrets, method, metadata) {
  if (!secrets.length) return metadata;
  const signed = metadata.clone();
  const claim = `v=1;time=${seconds()};nonce=${randomBytes(16).toString('hex')}`;
  signed.set('signature', `${claim};mac=${macOf(secrets[0], canonical(MASTER + method, metadata, claim)).toString('hex')}`);
  return signed;
}

// The parts of a claim; undefined where it is malformed.
function partsOf(claim) {
  const pairs = claim.split(';').map((part) => /^([^=]*)=(.*)$/s.exec(part));
  const parts = new Map(pairs.filter(Boolean).map(([, name, value]) => [name, value]));
  const whole = (text) => /^\d{1,15}$/.test(text);
  const right = parts.size === pairs.length && parts.get('v') === '1' && whole(parts.get('time'))
    && /^[\w-]{16,64}$/.test(parts.get('nonce')) && whole(parts.get('lease') ?? '0');
  return right ? parts : undefined;
}

const forget = (names, until) => [...names].forEach(([name, time]) => time <= until && names.delete(name));

// Checks the signatures of the calls to this slave.
class Checker {
  constructor(secrets, slave) {
    this.secrets = secrets;
    this.slave = slave;
    this.sweptAt = 0;
    this.used = new Map(); // by token, '' for those that open or end a session: which came, by time and nonce
  }

  // What the answer to a call brings, whatever it is, if that is signed rightly by a secret that is known here.
  answer(path, metadata) {
    const [entry] = metadata.get('signature');
    const [, claim, mac] = /^(.*);mac=([0-9a-f]{64})$/s.exec(entry ?? '') ?? [];
    const right = claim !== undefined && this.secrets.map(
      (secret) => timingSafeEqual(macOf(secret, canonical(path, metadata, claim)), Buffer.from(mac, 'hex')),
    );
    const answer = new grpc.Metadata();
    if (right && right.includes(true)) answer.set('answer-signature', answerBy(this.secrets[0], entry));
    return answer;
  }

  // What the signature of a call claims; undefined where there is no secret. `now` is in seconds since 1970.
  check(path, metadata, now = seconds()) {
    const entries = metadata.get('signature');
    if (!this.secrets.length) {
      if (entries.length) throw new BadSignature('SIGNATURE_INVALID', 'there is no secret here to check it by');
      return undefined;
    }
    if (!entries.length) throw new BadSignature('SIGNATURE_NOT_FOUND', 'no metadata `signature`: give both sides the secret');
    const whole = entries.length === 1 && entries[0].length <= 1024 && /^([!-~]+);mac=([0-9a-f]{64})$/.exec(entries[0]);
    const parts = whole ? partsOf(whole[1]) : undefined;
    if (!parts) throw new BadSignature('SIGNATURE_INVALID', 'a malformed signature');
    const [text, brought] = [canonical(path, metadata, whole[1]), Buffer.from(whole[2], 'hex')];
    const right = this.secrets.map((secret) => timingSafeEqual(macOf(secret, text), brought)); // all, whichever it is
    if (!right.includes(true)) throw new BadSignature('SIGNATURE_INVALID', 'a signature by another secret, or of another call');
    const apart = now - Number(parts.get('time'));
    if (Math.abs(apart) > WINDOW) {
      throw new BadSignature('SIGNATURE_STALE', `the clocks differ by ${apart} s, and ${WINDOW} s are allowed`);
    }
    return parts;
  }

  // Takes a signature for this one call, once its token is known here.
  once(token, parts, now = seconds()) {
    if (!parts) return;
    if (parts.get('slave') !== this.slave) throw new BadSignature('SIGNATURE_STALE', 'a signature for another slave');
    const [time, name] = [Number(parts.get('time')), `${parts.get('time')} ${parts.get('nonce')}`];
    const used = this.used.get(token) ?? { names: new Map(), forgotten: 0 };
    if (time <= used.forgotten || used.names.has(name)) throw new BadSignature('SIGNATURE_STALE', 'it was used before');
    this.used.set(token, used);
    used.names.set(name, time);
    if (used.names.size > MOST) {
      used.forgotten = Math.min(...used.names.values());
      forget(used.names, used.forgotten);
    }
    if (Math.abs(now - this.sweptAt) < 60) return;
    this.sweptAt = now;
    for (const [old, { names }] of this.used) {
      forget(names, now - WINDOW - 1); // what is too old to be taken
      if (!names.size) this.used.delete(old);
    }
  }

  // Connect's message has to say what its signature does.
  terms(parts, { masterAddress, lease }) {
    if (!parts) return;
    const length = BigInt(lease?.seconds ?? 0) * 1_000_000_000n + BigInt(lease?.nanos ?? 0);
    if (parts.get('address') !== masterAddress || parts.get('lease') !== String(length)) {
      throw new BadSignature('SIGNATURE_INVALID', 'the address or the lease is not what was signed');
    }
  }
}

module.exports = { BadSignature, Checker, SLAVE, believes, canonical, secretsOf, sign };
