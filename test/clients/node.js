// node-postgres as producer and consumer of a stream: parameters of JavaScript's own types, without casts.
// Environment: PRODUCER and CONSUMER, roles to SET; PG* of libpq. Prints 'ok - ...', 'not ok - ...' and, last, 'done'.
'use strict';
const { Client } = require('pg');

const MARKER = 'Marker-Quixotic-7431';
const COLUMNS = 'strm_consent_levels, session, customer, age, serial, score, member, tags, url, pages, bytes, ratio, mobile';
const INSERT = `INSERT INTO node (${COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`;
const FIELDS = ['session', 'customer', 'age', 'serial', 'score', 'member', 'tags', 'url', 'pages', 'bytes', 'ratio', 'mobile'];
// 64-bit integers do not fit a Number: node-postgres returns them as strings
const VALUES = ['c-42', 37, '9223372036854775807', 0.1, true, ['a', 'b,"c', 'é'], 'https://shop.example/', 5,
  '-9223372036854775808', 0.3, false];
const NULLS = [null, null, null, null, null, null, 'https://shop.example/', null, null, null, null];

function report(name, passed, detail) {
  console.log(`${passed ? 'ok' : 'not ok'} - ${name}`);
  if (!passed && detail !== undefined) console.log(JSON.stringify(detail));
}

async function connect(role) {
  const client = new Client({ host: process.env.PGHOST });
  await client.connect();
  if (role) await client.query(`SET ROLE ${client.escapeIdentifier(process.env[role])}`);
  return client;
}

const row = (session, levels = [1, 2], values = VALUES) => [levels, session, ...values];

// The statement fails with that SQLSTATE, and no part of the error holds the marker.
async function refused(name, client, query, parameters, sqlstate) {
  try {
    await client.query(query, parameters);
    report(name, false, 'no error');
  } catch (error) {
    const parts = Object.getOwnPropertyNames(error).filter((part) => part !== 'stack').map((part) => String(error[part]));
    report(name, error.code === sqlstate && !parts.join('\n').includes(MARKER), [error.code, error.message]);
  }
}

// The statement as a text without parameters, which goes by the simple protocol
function literal(client, value) {
  if (value === null) return 'NULL';
  if (Array.isArray(value)) return client.escapeLiteral(`{${value.map((v) => JSON.stringify(v)).join(',')}}`);
  return typeof value === 'string' ? client.escapeLiteral(value) : String(value);
}
const simple = (client, parameters) =>
  `INSERT INTO node (${COLUMNS}) VALUES (${parameters.map((value) => literal(client, value)).join(', ')})`;

async function main() {
  const producer = await connect('PRODUCER');
  const consumer = await connect('CONSUMER');
  const owner = await connect();

  await producer.query(INSERT, row('s-parameters'));
  for (const session of ['s-prepared-0', 's-prepared-1']) {
    await producer.query({ name: 'insert', text: INSERT, values: row(session) });
  }
  report('inserts parameters, prepared and not', true);
  await producer.query(simple(producer, row('s-simple')));
  report('inserts literals by the simple protocol', true);
  await producer.query(INSERT, row('s-nulls', [1, 2], NULLS));
  await producer.query(INSERT, row('s-unasked', []));
  await producer.query(INSERT, row('s-none', null));
  report('inserts NULLs, no consent and NULL consent', true);

  const found = (await consumer.query(`SELECT ${FIELDS} FROM node_1_2`)).rows;
  const sessions = ['s-nulls', 's-parameters', 's-prepared-0', 's-prepared-1', 's-simple'];
  report('reads the rows that were consented to',
    JSON.stringify(found.map((r) => r.session).sort()) === JSON.stringify(sessions), found);
  const wrong = found.filter((r) => JSON.stringify(FIELDS.slice(1).map((field) => r[field])) !==
    JSON.stringify(r.session === 's-nulls' ? NULLS : VALUES));
  report('reads every value in its native type', wrong.length === 0, wrong);
  const customers = (await consumer.query('SELECT customer FROM node_1 WHERE customer IS NOT NULL')).rows;
  report('reads ciphertext of another purpose', customers.length === 4 && customers.every((r) => r.customer.length > 30), customers);
  const stored = (await owner.query("SELECT session FROM node WHERE session !~ '^[A-Za-z0-9+/]+=*$'")).rows;
  report('stores ciphertext', stored.length === 0, stored);

  const event = { strmMeta: { eventContractRef: 'clients/event/1.0.0', consentLevels: [1, 2] }, session: 's-event', age: 5,
    score: 0.1, tags: ['x'], url: 'https://shop.example/' };
  await producer.query("SELECT strm.ingest('node', $1)", [event]);
  const read = (await consumer.query("SELECT strm.events('node_1_2') AS event")).rows.map((r) => r.event)
    .filter((e) => e.session === 's-event');
  report('ingests an event and reads it back', read.length === 1 && read[0].age === 5 && read[0].score === 0.1 &&
    read[0].tags[0] === 'x' && read[0].customer === null && read[0].strmMeta.eventContractRef === 'clients/event/1.0.0', read);

  const personal = [`c-${MARKER}`, ...VALUES.slice(1)];
  for (const [name, insert] of [
    ['parameters', (parameters) => [INSERT, parameters]],
    ['literals', (parameters) => [simple(producer, parameters), undefined]]]) {
    await refused(`refuses a NULL key field (${name})`, producer, ...insert(row(null, [1], personal)), '23502');
    await refused(`refuses an empty key field (${name})`, producer, ...insert(row('', [1], personal)), '23502');
    await refused(`refuses a personal value of another type (${name})`, producer,
      ...insert(row('s', [1], ['c-1', MARKER, ...VALUES.slice(2)])), '22P02');
    await refused(`refuses what breaks a validation (${name})`, producer,
      ...insert(row('s', [1], [MARKER, ...VALUES.slice(1)])), '23514');
    await refused(`refuses a negative consent level (${name})`, producer, ...insert(row('s', [-1], personal)), '22023');
  }
  await refused('refuses an event of wrong types', producer, "SELECT strm.ingest('node', $1)",
    [{ ...event, age: MARKER, session: 5 }], '22P02');
  await refused('refuses to let the producer read', producer, 'SELECT * FROM node', [], '42501');
  await refused('refuses to let the consumer read the stream', consumer, 'SELECT session FROM node', [], '42501');

  for (const client of [producer, consumer, owner]) await client.end();
  console.log('done');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
