'use strict';
// Signatures, as ../../protos/vectors/signature.json has them.

const assert = require('node:assert/strict');
const { createHmac } = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const grpc = require('@grpc/grpc-js');
const { BadSignature, Checker, believes, canonical, secretsOf, sign } = require('./secret');
const { exposed, oneLine } = require('./text');

const file = path.join(__dirname, '..', '..', 'protos', 'vectors', 'signature.json');
const { vectors, call, accepted, refused } = JSON.parse(fs.readFileSync(file, 'utf8'));

function metadataOf(vector, signature) {
  const metadata = new grpc.Metadata();
  metadata.set('channel', vector.channel);
  metadata.set('token', vector.token);
  if (vector.previous_token) metadata.set('previous-token', vector.previous_token);
  if (signature) metadata.set('signature', signature);
  return metadata;
}

for (const vector of vectors) {
  test(vector.name, () => {
    const metadata = metadataOf(vector, vector.signature);
    const claim = vector.signature.replace(/;mac=.*/, '');
    assert.equal(canonical(vector.path, metadata, claim), vector.canonical);
    assert.equal(createHmac('sha256', vector.secret).update(vector.canonical).digest('hex'), vector.mac);
    const parts = new Checker([vector.secret], vector.slave).check(vector.path, metadata, vector.time);
    assert.equal(parts.get('nonce'), vector.nonce);
    const answer = new Checker([vector.secret, 'o'.repeat(32)], vector.slave).answer(vector.path, metadata);
    assert.deepEqual(answer.get('answer-signature'), [vector.answer]);
    assert.ok(believes(['o'.repeat(32), vector.secret], metadata, undefined, answer));
    assert.ok(!believes(['o'.repeat(32)], metadata, answer));
    if ('lease' in vector) assert.deepEqual([parts.get('lease'), parts.get('address')], [String(vector.lease), vector.address]);
  });
}

const checked = (signature) => new Checker([call.secret], '').check(call.path, metadataOf(call, signature), 1764170000);
for (const vector of accepted) test(vector.name, () => assert.ok(checked(vector.signature)));
for (const vector of refused) test(`refused: ${vector.name}`, () => assert.throws(() => checked(vector.signature), BadSignature));

test('only whoever knows the secret answers by it, and only a call that is signed', () => {
  const [vector] = vectors;
  const signed = metadataOf(vector, vector.signature);
  const answerBy = (secret, path, metadata) => new Checker([secret], '').answer(path, metadata).get('answer-signature');
  assert.deepEqual(answerBy('o'.repeat(32), vector.path, signed), []);
  assert.deepEqual(answerBy(vector.secret, `${vector.path}2`, signed), []);
  for (const none of [undefined, 'x', `x;mac=${'0'.repeat(64)}`]) {
    assert.deepEqual(answerBy(vector.secret, vector.path, metadataOf(vector, none)), []);
  }
  assert.ok(!believes([vector.secret], signed, new grpc.Metadata()));
  for (const text of ['', 'x', '0'.repeat(64)]) {
    const forged = new grpc.Metadata();
    forged.set('answer-signature', text);
    assert.ok(!believes([vector.secret], signed, forged));
  }
  assert.ok(believes([], signed, undefined));
});

test('a signature is good for one call, and for its slave', () => {
  const [vector] = vectors;
  const checker = new Checker([vector.secret], vector.slave);
  const parts = checker.check(vector.path, metadataOf(vector, vector.signature), vector.time);
  checker.once(vector.token, parts, vector.time);
  assert.throws(() => checker.once(vector.token, parts, vector.time + 300), { reason: 'SIGNATURE_STALE' });
  const other = new Checker([vector.secret], 'f'.repeat(32));
  assert.throws(() => other.once(vector.token, parts, vector.time), { reason: 'SIGNATURE_STALE' });
});

test('the oldest of too many are forgotten, and refused for being old', () => {
  const checker = new Checker(['s'.repeat(32)], '');
  const parts = (time, nonce) => new Map([['time', String(time)], ['nonce', nonce], ['slave', '']]);
  for (let number = 0; number <= 16_384; number += 1) checker.once('t', parts(number < 10 ? 1000 : 1001, `n${number}`), 1001);
  assert.throws(() => checker.once('t', parts(1000, 'n3'), 1001), { reason: 'SIGNATURE_STALE' });
  assert.throws(() => checker.once('t', parts(1001, 'n99'), 1001), { reason: 'SIGNATURE_STALE' });
  checker.once('t', parts(1001, 'another'), 1001);
});

test('a signature is made as it is checked', () => {
  const secrets = secretsOf({ INTERACTION_SECRET: `${'a'.repeat(32)},\n${'b'.repeat(32)}` });
  assert.equal(secrets.length, 2);
  const signed = sign(secrets, 'Heartbeat', metadataOf(call));
  const path = '/interaction.v1.MasterService/Heartbeat';
  for (const known of [secrets, secrets.slice(0, 1), [...secrets].reverse()]) assert.ok(new Checker(known, '').check(path, signed));
  assert.throws(() => new Checker(secrets.slice(1), '').check(path, signed), { reason: 'SIGNATURE_INVALID' });
  assert.throws(() => new Checker([], '').check(path, signed), { reason: 'SIGNATURE_INVALID' });
  assert.throws(() => new Checker(secrets, '').check(path, metadataOf(call)), { reason: 'SIGNATURE_NOT_FOUND' });
});

test('a secret may stand in a file that is for its owner alone', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'secret-'));
  try {
    const file = path.join(folder, 'secret');
    fs.writeFileSync(file, `${'a'.repeat(32)}\n`, { mode: 0o400 });
    assert.deepEqual(secretsOf({ INTERACTION_SECRET_FILE: file }), ['a'.repeat(32)]);
    assert.throws(() => secretsOf({ INTERACTION_SECRET_FILE: file, INTERACTION_SECRET: 'b'.repeat(32) }), /both set/);
    fs.chmodSync(file, 0o644);
    assert.throws(() => secretsOf({ INTERACTION_SECRET_FILE: file }), /chmod 0400/);
    assert.throws(() => secretsOf({ INTERACTION_SECRET_FILE: folder }), /no file/);
    assert.throws(() => secretsOf({ INTERACTION_SECRET_FILE: path.join(folder, 'none') }), /ENOENT/);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

test('who listens beyond the machine without a secret says so, or does not start', () => {
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '127.1.2.3']) {
    assert.equal(exposed(host, [], { INTERACTION_INSECURE: 'refuse' }), undefined);
  }
  for (const host of ['0.0.0.0', '[::]', '192.168.0.1', '127.0.0.1.example', 'slave']) {
    assert.match(exposed(host, [], {}), /INTERACTION_SECRET/);
    assert.throws(() => exposed(host, [], { INTERACTION_INSECURE: 'refuse' }), /does not start/);
    assert.equal(exposed(host, ['s'], { INTERACTION_INSECURE: 'refuse' }), undefined);
  }
  assert.throws(() => exposed('127.0.0.1', [], { INTERACTION_INSECURE: 'yes' }), /"refuse", or unset/);
});

test('what a peer says is shown on one line, and obeyed by no terminal', () => {
  assert.equal(oneLine('a\x1b[2J\r\nb\u202ec\u2028\x9b'), 'a\\u{1b}[2J\\u{d}\\u{a}b\\u{202e}c\\u{2028}\\u{9b}');
  assert.equal(oneLine('日本 🙂 é "x" \u00a0\u200d'), '日本 🙂 é "x" \u00a0\u200d');
  assert.equal(oneLine('x'.repeat(9000)).length, 4096);
});

test('what is no secret is a mistake', () => {
  assert.deepEqual(secretsOf({}), []);
  for (const text of ['', ' , ', 'short', 'ä'.repeat(40)]) assert.throws(() => secretsOf({ INTERACTION_SECRET: text }));
});
