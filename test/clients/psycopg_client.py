"""psycopg 3 as producer and consumer of a stream: parameters of Python's own types, without casts.

Environment: PRODUCER and CONSUMER, roles to SET; libpq's variables. Prints 'ok - ...', 'not ok - ...' and, last, 'done'.
"""
import json
import os

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

MARKER = "Marker-Quixotic-7431"
COLUMNS = ("strm_consent_levels, session, customer, age, serial, score, member, tags, url, pages, bytes, ratio, mobile")
INSERT = f"INSERT INTO psycopg ({COLUMNS}) VALUES ({', '.join(['%s'] * 13)})"
FIELDS = "session, customer, age, serial, score, member, tags, url, pages, bytes, ratio, mobile"
VALUES = ["c-42", 37, 2**63 - 1, 0.1, True, ["a", 'b,"c', "é"], "https://shop.example/", 5, -(2**63), 0.3, False]
NULLS = [None] * 6 + ["https://shop.example/"] + [None] * 4


def report(name, passed, detail=None):
    print(("ok - " if passed else "not ok - ") + name)
    if not passed and detail is not None:
        print(detail)


def connect(role, **options):
    connection = psycopg.connect("", autocommit=True, **options)
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(os.environ[role])))
    return connection


def row(session, levels=(1, 2), values=VALUES):
    return [list(levels), session, *values]


def refused(name, connection, statement, parameters, sqlstate):
    """The statement fails with that SQLSTATE, and no part of the error holds the marker."""
    try:
        connection.execute(statement, parameters)
        report(name, False, "no error")
    except psycopg.Error as error:
        parts = [str(error)] + [str(getattr(error.diag, part)) for part in dir(error.diag) if not part.startswith("_")]
        report(name, error.sqlstate == sqlstate and not any(MARKER in part for part in parts), f"{error.sqlstate}: {error}")


producer = connect("PRODUCER")
client_side = connect("PRODUCER", cursor_factory=psycopg.ClientCursor)
consumer = connect("CONSUMER")
owner = psycopg.connect("", autocommit=True)

for prepare in (False, True):
    producer.execute(INSERT, row(f"s-{prepare}"), prepare=prepare)
report("inserts parameters, prepared and not", True)
with producer.cursor(binary=True) as cursor:
    cursor.execute(INSERT.replace("%s, %s", "%s, %b", 1), row("s-binary"))
report("inserts a binary text parameter", True)
client_side.execute(INSERT, row("s-simple"))
report("inserts literals by the simple protocol", True)
with producer.cursor() as cursor:
    cursor.executemany(INSERT, [row(f"s-many-{i}") for i in range(3)])
report("inserts many rows in a pipeline", True)
with producer.cursor() as cursor, cursor.copy(f"COPY psycopg ({COLUMNS}) FROM STDIN") as copy:
    copy.write_row(row("s-copy"))
report("copies rows", True)
producer.execute(INSERT, row("s-nulls", values=NULLS))
producer.execute(INSERT, row("s-unasked", levels=()))
producer.execute(INSERT, [None, "s-none", *VALUES])
report("inserts NULLs, no consent and NULL consent", True)

found = consumer.execute(f"SELECT {FIELDS} FROM psycopg_1_2").fetchall()
sessions = {"s-False", "s-True", "s-binary", "s-simple", "s-many-0", "s-many-1", "s-many-2", "s-copy", "s-nulls"}
report("reads the rows that were consented to", {r[0] for r in found} == sessions and len(found) == 9, found)
wrong = [r for r in found if list(r[1:]) != (NULLS if r[0] == "s-nulls" else VALUES)]
report("reads every value in its native type", not wrong, wrong)
binary = consumer.cursor(binary=True).execute(f"SELECT {FIELDS} FROM psycopg_1_2").fetchall()
report("reads the same in binary", sorted(map(str, binary)) == sorted(map(str, found)), binary)
customers = consumer.execute("SELECT DISTINCT customer FROM psycopg_1 WHERE customer IS NOT NULL").fetchall()
report("reads ciphertext of another purpose", customers and all(len(c[0]) > 30 for c in customers), customers)
personal = owner.execute("SELECT count(*) FROM psycopg WHERE psycopg::text ~ 's-|c-42|37'").fetchone()
stored = owner.execute("SELECT count(*) FROM psycopg WHERE session !~ '^[A-Za-z0-9+/]+=*$' OR session LIKE 's-%'").fetchone()
report("stores ciphertext", stored[0] == 0, personal)

event = {"strmMeta": {"eventContractRef": "clients/event/1.0.0", "consentLevels": [1, 2]}, "session": "s-event",
         "age": 5, "serial": 2**63 - 1, "score": 0.1, "tags": ["x"], "url": "https://shop.example/"}
producer.execute("SELECT strm.ingest('psycopg', %s)", [Jsonb(event)])
read = [e for e, in consumer.execute("SELECT strm.events('psycopg_1_2')") if e["session"] == "s-event"]
report("ingests an event and reads it back",
       len(read) == 1 and all(read[0][name] == event[name] for name in event if name != "strmMeta")
       and read[0]["strmMeta"]["consentLevels"] == [1, 2], json.dumps(read))

for name, connection in (("parameters", producer), ("literals", client_side)):
    refused(f"refuses a NULL key field ({name})", connection, INSERT, row(None, values=[f"c-{MARKER}", *VALUES[1:]]), "23502")
    refused(f"refuses an empty key field ({name})", connection, INSERT, row("", values=[f"c-{MARKER}", *VALUES[1:]]), "23502")
    refused(f"refuses a personal value of another type ({name})", connection, INSERT,
            row("s", values=["c-1", MARKER, *VALUES[2:]]), "22P02")
    refused(f"refuses what breaks a validation ({name})", connection, INSERT, row("s", values=[MARKER, *VALUES[1:]]), "23514")
    refused(f"refuses a negative consent level ({name})", connection, INSERT,
            row("s", levels=(-1,), values=[f"c-{MARKER}", *VALUES[1:]]), "22023")
refused("refuses an event of wrong types", producer, "SELECT strm.ingest('psycopg', %s)",
        [Jsonb({**event, "age": MARKER, "session": 5})], "22P02")
refused("refuses to let the producer read", producer, "SELECT * FROM psycopg", [], "42501")
refused("refuses to let the consumer read the stream", consumer, "SELECT session FROM psycopg", [], "42501")
try:
    with producer.cursor() as cursor, cursor.copy(f"COPY psycopg ({COLUMNS}) FROM STDIN") as copy:
        copy.write_row(row("s", values=[MARKER, *VALUES[1:]]))
    report("refuses a copied row without showing it", False, "no error")
except psycopg.Error as error:
    report("refuses a copied row without showing it",
           error.sqlstate == "23514" and MARKER not in str(error) + str(error.diag.context), str(error))
print("done")
