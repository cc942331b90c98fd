'use strict';
// How the contract's things look in JavaScript: services, errors, payloads, leases, addresses, tokens.

const { createHash, timingSafeEqual } = require('node:crypto');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const PROTOS = path.join(__dirname, '..', '..', 'protos');
const files = ['slave_service', 'master_service', 'error'].map((name) => `interaction/v1/${name}.proto`);
const options = { includeDirs: [PROTOS], longs: String, enums: String, defaults: true, oneofs: true };
const services = grpc.loadPackageDefinition(loader.loadSync(files, options)).interaction.v1;

// google/rpc/status.proto and error_details.proto come with no package that this slave has: their numbers, by hand.
const STATUS = { code: { type: 'int32', id: 1 }, message: { type: 'string', id: 2 },
  details: { rule: 'repeated', type: 'Any', id: 3 } };
const ANY = { typeUrl: { type: 'string', id: 1 }, value: { type: 'bytes', id: 2 } };
const ERROR_INFO = { reason: { type: 'string', id: 1 }, domain: { type: 'string', id: 2 } };
const { Status, ErrorInfo } = loader.fromJSON({ nested: {
  Status: { fields: STATUS }, Any: { fields: ANY }, ErrorInfo: { fields: ERROR_INFO } } });
const DETAILS = 'grpc-status-details-bin';
const REASONS = services.MasterErrorCode.type.value.map(({ name }) => name.replace('MASTER_ERROR_CODE_', ''));
const TYPE_URL = 'type.googleapis.com/google.rpc.ErrorInfo';

const CODES = {
  SYSTEM_SHUTTING_DOWN: grpc.status.UNAVAILABLE,
  REQUEST_INVALID: grpc.status.INVALID_ARGUMENT,
  CHANNEL_NOT_FOUND: grpc.status.INVALID_ARGUMENT,
  CHANNEL_INVALID: grpc.status.PERMISSION_DENIED,
  MASTER_TOKEN_NOT_FOUND: grpc.status.UNAUTHENTICATED,
  MASTER_TOKEN_INVALID: grpc.status.PERMISSION_DENIED,
  SLAVE_ALREADY_CONNECTED: grpc.status.FAILED_PRECONDITION,
  SLAVE_NOT_CONNECTED: grpc.status.FAILED_PRECONDITION,
  TASK_ALREADY_EXIST: grpc.status.RESOURCE_EXHAUSTED,
  TASK_DATA_INVALID: grpc.status.INVALID_ARGUMENT,
  SIGNATURE_NOT_FOUND: grpc.status.UNAUTHENTICATED,
  SIGNATURE_INVALID: grpc.status.PERMISSION_DENIED,
  SIGNATURE_STALE: grpc.status.PERMISSION_DENIED,
};

// Thrown by a handler: becomes a status with an ErrorInfo.
class Refusal extends Error {
  constructor(reason, message) {
    super(message);
    this.code = CODES[reason];
    this.details = message;
    const info = { typeUrl: TYPE_URL, value: ErrorInfo.serialize({ reason, domain: 'interaction' }) };
    this.metadata = new grpc.Metadata();
    this.metadata.set(DETAILS, Status.serialize({ code: this.code, message, details: [info] }));
  }
}

// The reason in a failed call's ErrorInfo; undefined for a failure of the transport, and for a reason of tomorrow.
function reasonOf(status) {
  const [bytes] = status.metadata?.get(DETAILS) ?? [];
  const infos = bytes ? Status.deserialize(bytes).details.filter((any) => any.typeUrl === TYPE_URL) : [];
  const [info] = infos.map((any) => ErrorInfo.deserialize(any.value)).filter(({ domain }) => domain === 'interaction');
  return REASONS.includes(info?.reason) ? info.reason : undefined;
}

// google.protobuf.Value as the JavaScript value that it means.
function plain(value, depth = 1) {
  if (/^(struct|list)Value$/.test(value.kind) && depth > DEEPEST_VALUE) {
    throw new Error(`nested deeper than ${DEEPEST_VALUE} levels, which is what a protobuf value may`);
  }
  if (value.kind === 'structValue') {
    return Object.fromEntries(Object.entries(value.structValue.fields).map(([key, item]) => [key, plain(item, depth + 1)]));
  }
  if (value.kind === 'listValue') return value.listValue.values.map((item) => plain(item, depth + 1));
  return value.kind === 'nullValue' ? null : value[value.kind];
}

const renamed = (object, name) => Object.fromEntries(Object.entries(object).map(([key, item]) => [name(key), item]));
const isMapping = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
const NUMBERS = ['NaN', 'Infinity', '-Infinity'];
const DEEPEST = 200;
const LONGEST = 8 * 1024 * 1024; // bytes of JSON, which everybody refuses beyond
const DEEPEST_VALUE = 30; // protobuf libraries read 100 messages in one another, and a level is up to 3

// What JSON lacks, read and written as payload.proto says. Bytes, arrays and huge integers are refused, not misread.
function read(value, depth = 1) {
  if (typeof value === 'string') return characters(value);
  if (value === null || typeof value !== 'object') return value;
  if (depth > DEEPEST) throw new Error(`nested deeper than ${DEEPEST} levels`);
  if (Array.isArray(value)) return value.map((item) => read(item, depth + 1));
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === '$number' && NUMBERS.includes(value.$number)) return Number(value.$number);
  const [, minus, digits] = (keys.length === 1 && /^(?!-0)(-?)(0|[1-9a-f][\da-f]*)$/.exec(value.$integer)) || [];
  if (digits && typeof value.$integer === 'string') return (minus ? -1 : 1) * integer(`0x${digits}`);
  if (keys.some((key) => /^\$(?!\$)/.test(key))) throw new Error(`${keys} can't be read here`);
  return Object.fromEntries(keys.map((key) => [characters(key.replace(/^\$/, '')), read(value[key], depth + 1)]));
}

function characters(text) {
  if (!text.isWellFormed()) throw new Error('a string holds half a character');
  return text;
}

// An integer, exactly: beyond 2^53 not every one can be held here.
function integer(digits) {
  const number = Number(digits);
  if (Math.abs(number) <= 2 ** 53 && BigInt(digits) === BigInt(number)) return number;
  throw new Error(`${digits.slice(0, 40)} can't be held here`);
}

function checkLength(text) {
  const length = Buffer.byteLength(text);
  if (length > LONGEST) throw new Error(`the JSON text has ${length} bytes, and ${LONGEST} are read`);
  return text;
}

// JSON as the contract has it. A number that a double can't hold is refused, and not rounded.
function parsed(text) {
  checkLength(text);
  const value = JSON.parse(text);
  for (const [number] of text.replace(/\\./g, '').replace(/"[^"]*"/g, '').matchAll(/-?\d[\d.eE+-]*/g)) {
    if (!/[.eE]/.test(number)) integer(number);
    else if (!Number.isFinite(Number(number))) throw new Error(`${number.slice(0, 40)} is beyond every double`);
  }
  return value;
}

function written(_, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) return { $number: String(value) };
  return isMapping(value) ? renamed(value, (key) => key.replace(/^\$/, () => '$$')) : value;
}

const payloadOf = (value) => ({ json: checkLength(JSON.stringify(value ?? {}, written)) });

// What a payload holds.
function valueOf(payload) {
  if (payload?.content === 'json') return read(parsed(payload.json));
  return payload?.content === 'value' ? read(plain(payload.value)) : {};
}

// The mapping in a payload.
function mappingOf(payload, reason) {
  let data;
  try {
    data = valueOf(payload);
  } catch (error) {
    throw new Refusal(reason, `the data can't be read: ${error.message}`);
  }
  if (!isMapping(data)) throw new Refusal(reason, 'the data is not a mapping');
  return data;
}

// A lease in milliseconds; undefined when it is absent or not one from 0.1 s to a day.
function leaseOf(duration) {
  const length = duration ? Number(duration.seconds) * 1000 + duration.nanos / 1e6 : 0;
  return length >= 100 && length <= 86_400_000 ? length : undefined;
}

// A client of the master at an address in one of the forms of ConnectRequest.master_address.
function masterClient(address, maxMessageBytes) {
  const parts = /^(?:(grpc|https?):\/\/)?(\[[0-9A-Fa-f:.]+\]|[\w.-]{1,253})(?::(\d{1,5}))?\/?$/.exec(address);
  const port = Number(parts?.[3] ?? 7235);
  if (!parts || port < 1 || port > 65535) {
    throw new Refusal('REQUEST_INVALID', 'master_address: host:port, grpc://, http:// or https://');
  }
  const secure = parts[1] === 'https' ? grpc.credentials.createSsl() : grpc.credentials.createInsecure();
  // `dns:` keeps a host from being taken for a scheme; its own pool keeps an older session's pauses out of this one.
  return new services.MasterService(`dns:///${parts[2]}:${port}`, secure, {
    'grpc.enable_http_proxy': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 5000,
    'grpc.max_send_message_length': Number(maxMessageBytes) || 4 * 1024 * 1024,
  });
}

// In constant time, whatever the lengths.
function same(one, other) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}

module.exports = {
  SlaveService: services.SlaveService, Refusal, reasonOf, valueOf, mappingOf, payloadOf, leaseOf, masterClient, same };
