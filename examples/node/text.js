'use strict';
// Words of the master's, and the reach of an address: what may be shown, and what strangers could do.

const LONGEST = 4096; // characters
const HARMLESS = /[\u00a0\u1680\u2000-\u200a\u200c\u200d\u202f\u205f\u3000]/; // the spaces of all languages, and two joiners

// A peer's words on one line. What a terminal or a log would obey (control characters, line breaks, marks of direction), and
// what no font has, is shown as its escape.
function oneLine(text) {
  const told = text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
  return told.replace(/[\p{C}\p{Z}]/gu, (letter) => (
    letter === ' ' || HARMLESS.test(letter) ? letter : `\\u{${letter.codePointAt(0).toString(16)}}`));
}

const loopback = (host) => /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);

// What is to be said of a slave that strangers reach and that asks them for nothing; undefined where it does. By
// INTERACTION_INSECURE=refuse it does not start.
function exposed(host, secrets, environment) {
  const asked = environment.INTERACTION_INSECURE;
  if (asked !== undefined && asked !== 'refuse') {
    throw new Error(`INTERACTION_INSECURE is ${JSON.stringify(asked.slice(0, 40))}: it may be "refuse", or unset`);
  }
  if (loopback(host) || secrets.length) return undefined;
  const why = `it listens beyond this machine (${host}) without a secret: whoever reaches it may open a session and have it run `
    + 'tasks. INTERACTION_SECRET in the environment of both sides keeps them out';
  if (asked) throw new Error(`${why}. INTERACTION_INSECURE=refuse is why it does not start`);
  return why;
}

module.exports = { exposed, oneLine };
