"""Reads values with Apache's own Avro for Python, for tests: avro_reader.py SCHEMA_FILE VALUES_FILE

VALUES_FILE has a value a line, base64, as it is on a topic. Each must be read to its end, and written again give the same
bytes. Prints how many there were.
"""
import base64
import io
import sys

import avro.io
import avro.schema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = avro.schema.parse(file.read())
reader = avro.io.DatumReader(schema)
writer = avro.io.DatumWriter(schema)
count = 0
with open(sys.argv[2], encoding="ascii") as file:
    for line in file:
        data = base64.b64decode(line)
        if data[0] != 0 or len(data) < 5:
            sys.exit("value %d has no header" % count)
        source = io.BytesIO(data[5:])
        event = reader.read(avro.io.BinaryDecoder(source))
        if source.read():
            sys.exit("value %d has more bytes than an event" % count)
        target = io.BytesIO()
        writer.write(event, avro.io.BinaryEncoder(target))
        if target.getvalue() != data[5:]:
            sys.exit("value %d is written differently" % count)
        count += 1
print(count)
