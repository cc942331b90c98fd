'use strict';
// One session: keeps its lease alive by the heartbeat, and reports results until they are acknowledged.

const { setTimeout: pause } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const { Refusal, reasonOf, leaseOf, masterClient } = require('./contract');
const { believes, sign } = require('./secret');
const { oneLine } = require('./text');

const LEASE_OVER = 'its lease ran out';
const ENDING = ['SYSTEM_SHUTTING_DOWN', 'SLAVE_TOKEN_INVALID'];
const UNFIT = [grpc.status.RESOURCE_EXHAUSTED, grpc.status.OUT_OF_RANGE]; // the result is too long; three times, for sure
const DECIDED = [grpc.status.OK, grpc.status.ABORTED, ...UNFIT]; // what only the master may say
const UNPROVED = 30_000; // ms that a session is kept whose master has acknowledged no beat, whatever lease it granted
const now = () => performance.now(); // monotonic
const growing = (tries, longest = 5000) => Math.min(longest, 100 * 2 ** tries) * (0.5 + Math.random() / 2);
const NOBODY = { code: grpc.status.UNAUTHENTICATED, details: 'who answers does not show that they know the secret' };
const failed = (taskId, { name, message, stack }) => (
  { taskId, status: 'TASK_RESULT_STATUS_FAILED', error: { type: name, message, traceback: stack } });

class Session {
  constructor(metadata, request, tasks, secrets) {
    this.lease = leaseOf(request.lease);
    if (!this.lease) throw new Refusal('REQUEST_INVALID', 'lease: 0.1 s to a day');
    this.until = now() + Math.min(this.lease, UNPROVED);
    this.proved = new Promise((resolve) => { this.prove = resolve; }); // whether its master has acknowledged a beat
    this.dial = () => masterClient(request.masterAddress, request.maxMessageBytes);
    this.client = this.dial();
    [this.token] = metadata.get('token');
    this.metadata = new grpc.Metadata();
    for (const key of ['channel', 'token']) this.metadata.set(key, metadata.get(key)[0]);
    this.signed = (method) => sign(secrets, method, this.metadata); // anew for each call
    this.believes = (signed, ...came) => believes(secrets, signed, ...came);
    this.tasks = tasks; // by id, in the order in which they came
    this.sequence = 0;
    this.sent = new Map(); // when each beat that is not acknowledged was sent
  }

  get lives() {
    return !this.over && now() < this.until;
  }

  end(why) {
    if (this.over) return;
    this.over = why;
    this.prove(false); // unless it has
    for (const stream of [this.stream, this.older]) stream?.cancel();
    for (const client of [this.client, this.olderClient]) client?.close();
    console.error(oneLine(`session over: ${why}`));
  }

  async keepAlive() {
    for (this.broken = 0; this.lives; this.broken += 1) {
      const status = await this.beatWhileItLasts();
      if (!status) continue; // it hangs, and is the older one now
      const reason = reasonOf(status);
      if (ENDING.includes(reason)) return this.end(reason);
      if (status.code === grpc.status.ABORTED && !this.doubted) { // a newer stream has its place
        await pause(this.until - now());
        break;
      }
      await pause(growing(this.broken, this.lease / 6));
    }
    return this.end(LEASE_OVER);
  }

  // Ends with the stream's status, or with none when it stays open and nothing is acknowledged on it.
  async beatWhileItLasts() {
    const signed = this.signed('Heartbeat');
    const stream = (this.stream = this.client.heartbeat(signed));
    stream.believed = this.believes(signed);
    this.beat();
    stream.on('metadata', (metadata) => { stream.believed ||= this.believes(signed, metadata); });
    stream.on('data', (answer) => (stream.believed ? this.renew(answer, stream) : this.refuse(stream)));
    stream.on('error', () => {}); // `status` says the same, and comes always
    const ended = new Promise((resolve) => stream.on('status', (status) => {
      resolve(stream.believed || this.believes(signed, status.metadata) ? status : this.judge(status));
      stream.believed = false;
    }));
    ended.then((status) => stream === this.older && ENDING.includes(reasonOf(status)) && this.end(reasonOf(status)));
    try {
      for (;;) {
        const look = new AbortController();
        const doubtful = Math.max(this.until - this.lease / 4 - now(), this.lease / 12);
        const status = await Promise.race([ended, pause(doubtful, undefined, { signal: look.signal }).catch(() => {})]);
        look.abort();
        if (status) return status;
        if (!this.lives || this.older || now() < this.until - this.lease / 4) continue;
        [this.older, this.olderClient, this.client, this.doubted] = [stream, this.client, this.dial(), true];
        return undefined;
      }
    } finally {
      clearTimeout(this.timer);
    }
  }

  refuse(stream) {
    this.say(NOBODY.details);
    stream.cancel();
  }

  // How a call has ended that was answered by somebody who does not show that they know the secret: what only a master may
  // say, nobody has said.
  judge(status) {
    const reason = reasonOf(status);
    if (reason === undefined && !DECIDED.includes(status.code)) return status; // of the transport
    this.say(reason?.startsWith('SIGNATURE_') ? `the master does not believe this slave: ${status.details}` : NOBODY.details);
    return NOBODY;
  }

  // Once, and not again and again.
  say(what) {
    if (this.said !== what) console.error(oneLine(`nothing is believed of the master's: ${what}`));
    this.said = what;
  }

  letGoOfOlder() {
    this.older?.cancel();
    this.olderClient?.close();
    this.older = this.olderClient = undefined;
  }

  beat(news = {}) {
    clearTimeout(this.timer);
    if (!this.lives) return this.end(LEASE_OVER);
    this.sent.set((this.sequence += 1), now());
    this.timer = setTimeout(() => this.beat(), this.lease / 3);
    return this.stream.write({ sequence: this.sequence, ...news });
  }

  // Tells the master, and waits a little until it has heard.
  async leave(reason) {
    const heard = new Promise((resolve) => this.stream.on('status', resolve));
    this.beat({ leaving: { reason } });
    clearTimeout(this.timer);
    this.stream.end();
    await Promise.race([heard, pause(1000)]);
  }

  renew(answer, stream) {
    if (answer.closing) return this.end(`the master closed it (${answer.closing.reason})`);
    const before = this.lease;
    this.lease = leaseOf(answer.lease) ?? before;
    const newest = Number(answer.sequence);
    if (this.lives && this.sent.has(newest)) {
      this.until = this.sent.get(newest) + this.lease;
      this.prove(true);
      if (stream === this.stream) this.letGoOfOlder();
    }
    for (const sequence of this.sent.keys()) if (sequence <= newest) this.sent.delete(sequence);
    this.broken = 0; // the next break is a first one
    return this.lease < before && this.beat();
  }

  // The error that reporting has come to, if any.
  reportOnce(task) {
    const signed = this.signed('ReportResult');
    return new Promise((resolve) => {
      let [error, initial] = [];
      const deadline = { deadline: Date.now() + 5000 };
      const call = this.client.reportResult({ result: task.result }, signed, deadline, (failure) => { error = failure; });
      call.on('metadata', (metadata) => { initial = metadata; });
      call.on('status', (status) => { // which comes after the answer
        const unfit = UNFIT.includes(status.code) && this.stream?.believed; // gRPC says so itself, and signs nothing
        resolve(unfit || this.believes(signed, initial, status.metadata) ? error : this.judge(status));
      });
    });
  }

  async report(task) {
    for (let [tries, unfit] = [0, 0]; this.lives && !task.acknowledged; tries += 1) {
      const error = await this.reportOnce(task);
      const reason = error && reasonOf(error);
      if (ENDING.includes(reason)) return this.end(reason);
      if (!error || reason === 'TASK_DATA_INVALID') task.acknowledged = true; // the task has ended there
      unfit = UNFIT.includes(error?.code) ? unfit + 1 : 0;
      if (reason === 'REQUEST_INVALID' && task.replaced) task.acknowledged = true; // there is no more to be done
      else if (reason === 'REQUEST_INVALID' || unfit === 3) { task.result = failed(task.id, error); task.replaced = true; }
      if (!task.acknowledged) await pause(growing(tries));
    }
    return undefined;
  }
}

module.exports = { Session, LEASE_OVER, failed };
