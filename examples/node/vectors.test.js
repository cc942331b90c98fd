'use strict';
// The payloads beside the contract: each means here what it says there, or is refused. Run by `node --test`.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { valueOf } = require('./contract');

const FILE = path.join(__dirname, '..', '..', 'protos', 'vectors', 'payload.json');
const { vectors, values } = JSON.parse(fs.readFileSync(FILE, 'utf8'));

class NotHeld extends Error {} // this slave has no way to hold it, and refuses it

const whole = (parts) => (typeof parts === 'string' ? parts : parts.map(([part, times]) => part.repeat(times)).join(''));

function double(bits) {
  return bits === 'NaN' ? NaN : Buffer.from(bits, 'hex').readDoubleBE();
}

function integer(digits) {
  if (BigInt(digits) > 2n ** 53n || BigInt(digits) < -(2n ** 53n)) throw new NotHeld();
  return Number(digits);
}

function nested({ nested: levels, key, in: inside }) {
  let value = meant(inside);
  for (let level = 0; level < levels; level += 1) value = key === undefined ? [value] : { [key]: value };
  return value;
}

const KINDS = {
  null: () => null,
  boolean: (said) => said,
  text: whole,
  float: double,
  integer: (said) => integer(whole(said)),
  list: (said) => said.map(meant),
  mapping: (said) => Object.fromEntries(said.map(([key, item]) => [key, meant(item)])),
  nested: (_, meaning) => nested(meaning),
};

function meant(meaning) {
  const [kind] = Object.keys(meaning);
  if (!KINDS[kind]) throw new NotHeld(); // bytes, arrays
  return KINDS[kind](meaning[kind], meaning);
}

function expected(vector) {
  try {
    return { value: meant(vector.meaning) };
  } catch (error) {
    if (error instanceof NotHeld) return {};
    throw error;
  }
}

// google.protobuf.Value as proto-loader gives it.
function typed(value) {
  const of = (kind, content) => ({ kind, [kind]: content });
  if (value === null) return of('nullValue', 'NULL_VALUE');
  if (Array.isArray(value)) return of('listValue', { values: value.map(typed) });
  if (typeof value !== 'object') return of(`${typeof value}Value`.replace('boolean', 'bool'), value);
  const fields = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, typed(item)]));
  return of('structValue', { fields });
}

const payloadOf = (vector) => ('text' in vector
  ? { content: 'json', json: whole(vector.text) }
  : { content: 'value', value: typed(vector.value) });

for (const vector of [...vectors, ...values]) {
  test(vector.name, () => {
    const { value } = vector.refused ? {} : expected(vector);
    if (value === undefined) {
      assert.throws(() => valueOf(payloadOf(vector)));
    } else if (vector.name.startsWith('minus zero is the integer')) {
      assert.equal(valueOf(payloadOf(vector)) + 0, 0); // there is one kind of numbers here
    } else {
      assert.deepStrictEqual(valueOf(payloadOf(vector)), value);
    }
  });
}
