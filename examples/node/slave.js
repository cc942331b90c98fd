'use strict';
// A slave in JavaScript, written from the .proto files alone. To make it yours, replace `work`.

const { randomBytes } = require('node:crypto');
const { setTimeout: pause } = require('node:timers/promises');
const { isDeepStrictEqual, parseArgs } = require('node:util');
const grpc = require('@grpc/grpc-js');
const { SlaveService, Refusal, mappingOf, payloadOf, same } = require('./contract');
const { BadSignature, Checker, SLAVE, secretsOf } = require('./secret');
const { Session, LEASE_OVER, failed } = require('./session');
const { exposed, oneLine } = require('./text');

// What this slave does: data in, result out. What it throws makes the task FAILED. It shares its thread with the
// heartbeat: what computes for long belongs into a worker thread.
async function work(data) {
  if (data.seconds) await pause(data.seconds * 1000);
  if (data.a === undefined || data.b === undefined) throw new TypeError('the data lacks a or b');
  return { sum: data.a + data.b };
}

const REMEMBERED = 1000; // task ids, and tokens
const TOKEN = /^[\w-]{32,128}$/;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const who = { incarnation: randomBytes(16).toString('hex'), language: 'node', version: '0.1.0', features: [] };

let channel;
let secrets = []; // that the master knows as well: the first one signs
let signatures;
let session; // the last one, living or over
const past = []; // the tokens of those before it
let busy = false; // one slot, no backlog
let leaving = false;

async function run(task) {
  busy = true;
  const { tasks, proved } = session;
  if (!(await proved)) { // nothing begins for somebody who does not answer at the address that he gave
    tasks.delete(task.id);
    busy = false;
    return;
  }
  try {
    const result = payloadOf(await work(task.data));
    task.result = { taskId: task.id, status: 'TASK_RESULT_STATUS_COMPLETED', result };
  } catch (error) {
    task.result = failed(task.id, error instanceof Error ? error : new Error(String(error)));
  }
  busy = false;
  if (session.tasks.get(task.id) === task) session.report(task); // else its session gave way to another
}

const METHODS = new Map(); // by handler

function check(metadata, rpc) {
  if (leaving) throw new Refusal('SYSTEM_SHUTTING_DOWN', 'the slave is shutting down');
  const [channels, tokens] = [metadata.get('channel'), metadata.get('token')];
  if (!channels.length) throw new Refusal('CHANNEL_NOT_FOUND', 'no metadata `channel`');
  if (channels.length > 1 || !/^-?\d{1,19}$/.test(channels[0]) || BigInt(channels[0]) !== channel) {
    throw new Refusal('CHANNEL_INVALID', 'another channel');
  }
  if (!tokens.length) throw new Refusal('MASTER_TOKEN_NOT_FOUND', 'no metadata `token`');
  if (tokens.length > 1 || !TOKEN.test(tokens[0])) throw new Refusal('MASTER_TOKEN_INVALID', 'a malformed token');
  const parts = signatures.check(SLAVE + METHODS.get(rpc), metadata);
  checkToken(tokens[0], rpc);
  signatures.once([connect, disconnect].includes(rpc) ? '' : tokens[0], parts);
  return parts;
}

function checkToken(token, rpc) {
  const mine = session && same(token, session.token);
  if (rpc === connect || (rpc === disconnect && mine)) return;
  if (!session?.lives) throw new Refusal('SLAVE_NOT_CONNECTED', 'no session');
  if (!mine) throw new Refusal('MASTER_TOKEN_INVALID', 'not the token of the session');
}

function connect({ metadata, request }, parts) {
  signatures.terms(parts, request);
  const [token] = metadata.get('token');
  const mine = session && same(token, session.token);
  if (mine && session.lives) return session.answer;
  if (mine || past.some((old) => same(token, old))) throw new Refusal('MASTER_TOKEN_INVALID', 'its session has ended');
  const previous = metadata.get('previous-token');
  const proved = session && previous.length === 1 && same(previous[0], session.token);
  if (session?.lives && !proved) throw new Refusal('SLAVE_ALREADY_CONNECTED', 'another session lives');
  mappingOf(request.data, 'REQUEST_INVALID');
  const resumes = proved && (!session.over || session.over === LEASE_OVER);
  const next = new Session(metadata, request, resumes ? session.tasks : new Map(), secrets);
  if (session) past.push(session.token);
  if (past.length > REMEMBERED) past.shift();
  session?.end('another took its place');
  session = next;
  const unfinished = [...session.tasks.values()].filter((task) => !task.acknowledged);
  const held = unfinished.map((task) => ({ taskId: task.id, ended: Boolean(task.result) }));
  session.answer = { incarnation: who.incarnation, slots: 1, backlog: 0, features: who.features, held };
  session.keepAlive();
  for (const task of unfinished) if (task.result) session.report(task);
  return session.answer;
}

function disconnect({ request }) {
  mappingOf(request.data, 'REQUEST_INVALID');
  session.end('the master disconnected');
  session.tasks.clear(); // nobody comes for them any more
  return {};
}

function newTask({ request: { task, incarnation } }) {
  if (incarnation && incarnation !== who.incarnation) throw new Refusal('SLAVE_NOT_CONNECTED', 'this slave was restarted');
  const id = task?.id ?? '';
  if (!UUID.test(id)) throw new Refusal('REQUEST_INVALID', 'task.id: a UUID in lower case');
  const data = mappingOf(task.data, 'TASK_DATA_INVALID');
  const first = session.tasks.get(id);
  if (first && !isDeepStrictEqual(first.data, data)) throw new Refusal('TASK_DATA_INVALID', 'the id had other data');
  if (first) return {};
  if (busy) throw new Refusal('TASK_ALREADY_EXIST', 'a task is running');
  const { tasks } = session;
  if (tasks.size > REMEMBERED) tasks.delete([...tasks.keys()].find((old) => tasks.get(old).acknowledged));
  tasks.set(id, { id, data });
  run(tasks.get(id));
  return {};
}

// Checks first, then the handler; what either throws is the answer.
const checked = (handler) => (call, callback) => {
  const signed = signatures.answer(SLAVE + METHODS.get(handler), call.metadata); // whoever knows the secret says so
  try {
    const parts = check(call.metadata, handler);
    callback(null, handler(call, parts), signed);
  } catch (error) {
    const refusal = error instanceof BadSignature ? new Refusal(error.reason, error.message) : error;
    refusal.metadata?.merge(signed);
    callback(refusal);
  }
};
for (const [name, rpc] of Object.entries({ Connect: connect, Disconnect: disconnect, NewTask: newTask })) METHODS.set(rpc, name);

async function leave() {
  leaving = true;
  if (session?.lives) await session.leave('the slave shuts down');
  process.exit(0);
}

function main() {
  const text = { type: 'string' };
  const defaults = { host: '127.0.0.1', port: '7236', channel: '0' };
  const { values } = parseArgs({ options: { host: text, port: text, channel: text } });
  const { host, port, channel: label } = { ...defaults, ...values };
  if (!/^\d+$/.test(port) || !/^-?\d+$/.test(label)) throw new Error('--port and --channel are integers');
  channel = BigInt(label);
  secrets = secretsOf(process.env);
  const warning = exposed(host, secrets, process.env);
  signatures = new Checker(secrets, who.incarnation);
  const server = new grpc.Server();
  const ping = (call, callback) => callback(null, who);
  server.addService(SlaveService.service, {
    ping, connect: checked(connect), disconnect: checked(disconnect), newTask: checked(newTask) });
  server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createInsecure(), (error, bound) => {
    if (error) return fail(error);
    if (warning) console.error(`warning: ${warning}`);
    return console.log(`listening on ${host}:${bound}`);
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, leave);
}

function fail(error) {
  console.error(oneLine(error.message));
  process.exit(2);
}

try {
  main();
} catch (error) {
  fail(error);
}
