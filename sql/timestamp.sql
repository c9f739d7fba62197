-- Timestamps as batch jobs read them: what strm.parse_timestamp() makes of values, formats and zones.
SET TIME ZONE 'UTC';
\set VERBOSITY default
CREATE FUNCTION regress_try(value text, format text DEFAULT NULL, default_zone text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  fault text;
BEGIN
  RETURN strm.parse_timestamp(value, format, default_zone);
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS fault := PG_EXCEPTION_DETAIL;
  RETURN SQLSTATE || ' ' || COALESCE(NULLIF(fault, ''), SQLERRM);
END $$;

-- no format: ISO 8601
SELECT value, regress_try(value) AS utc, regress_try(value, 'ISO_8601', 'Europe/Amsterdam') AS amsterdam
  FROM unnest(ARRAY['2024-05-01T10:00:00Z', '2024-05-01t10:00:00z', '2024-05-01T10:00:00+02:00', '2024-05-01 10:00:00 +0200', '2024-05-01T10:00:00-03',
    '2024-05-01T10:00:00.123Z', '2024-05-01 10:00:00,1239999999999', '2024-05-01 10:00', '2024-05-01', '2024-05-01T24:00:00', '-0044-03-15T00:00Z', '+12024-05-01',
    '2024-05-01T10:00:00[Europe/Paris]', '2024-05-01T10:00:00+02:00[Europe/Paris]',
    -- none
    '', '2024-02-30', '2023-02-29', '2024-13-01', '2024-05-01T', '2024-05-01T10', '2024-05-01T10:00:00.', '2024-05-01T24:00:01', '2024-5-1', '24-05-01', '2024-05-01T10:00:00+25:00',
    '2024-05-01T10:00:00+19:00', '2024-05-01T10:00:00[Foo/Bar]', '20240501', 'now', '2024-05-01T10:00:00 UTC']) WITH ORDINALITY AS v (value, number) ORDER BY number;

-- seconds and milliseconds since 1970: cut, not rounded
SELECT value, regress_try(value, 'EPOCH_SECONDS') AS seconds, regress_try(value, 'EPOCH_MILLIS') AS millis
  FROM unnest(ARRAY['0', '1714557600', '1714557600.5', '1714557600.123999', '-1', '-1.5', '-0.0001', '+1', '-1001', '1714557600123', '9224318015999', '9224318016000', '99999999999999999999',
    '-210866803200', '-210866803201', '-210866803200000', '', '-', '1.', '.5', '1e9', ' 1', '１', '0x10']) WITH ORDINALITY AS v (value, number) ORDER BY number;

-- patterns
SELECT format, value, regress_try(value, format, 'Europe/Amsterdam')
  FROM (VALUES ('M/d/yyyy H:m', '12/1/2010 8:26'), ('yyyy-MM-dd HH:mm:ss', '2010-12-01 08:26:00'), ('dd/MMM/yyyy:HH:mm:ss Z', '17/May/2015:10:05:03 +0000'),
    ('EEE, d MMM yyyy HH:mm:ss z', 'Wed, 1 Dec 2010 08:26:00 EST'), ('MM/dd/yyyy hh:mm a', '12/01/2010 12:26 PM'), ('yyyyMMddHHmmssSSS', '20101201082600123'),
    ('yyyy-MM-dd[ HH:mm[:ss]][XXX]', '2010-12-01'), ('yyyy-MM-dd[ HH:mm[:ss]][XXX]', '2010-12-01 08:26Z'), ('yyyy-MM-dd HH:mm VV', '2010-12-01 08:26 America/New_York'),
    -- the clock moves forward at 02:00 and back at 03:00
    ('yyyy-MM-dd HH:mm', '2021-03-28 01:59'), ('yyyy-MM-dd HH:mm', '2021-03-28 02:30'), ('yyyy-MM-dd HH:mm', '2021-03-28 03:00'),
    ('yyyy-MM-dd HH:mm', '2021-10-31 01:59'), ('yyyy-MM-dd HH:mm', '2021-10-31 02:30'), ('yyyy-MM-dd HH:mm', '2021-10-31 03:00'),
    -- the month's last day
    ('yyyy-MM-dd', '2011-02-30'), ('yyyy-MM-dd', '2011-04-31'), ('yyyy-MM-dd', '2012-02-31'),
    ('yyyy-MM-dd', '2011-02-32'), ('yyyy-MM-dd', '300000-01-01'), ('y-M-d', '300000-1-1'), ('yyyy-MM-dd', '2011-02-3'), ('EEE yyyy-MM-dd', 'Tue 2010-12-01'), ('yyyy', '2010'),
    -- positions count as in Java
    ('d. MMMM yyyy', '😀. May 2010'), ('''é😀'' d', 'é😀 x')) AS v (format, value);
-- a clock that moves forward at midnight: that day starts at 01:00
SELECT regress_try('2018-11-04', 'yyyy-MM-dd', 'America/Sao_Paulo'), regress_try('2018-11-04 00:00', 'yyyy-MM-dd HH:mm', 'America/Sao_Paulo');
-- the piece of a zone that is remembered ends where it should, whatever the order
SELECT strm.parse_timestamp(value, 'yyyy-MM-dd HH:mm', 'Europe/Amsterdam') = value::timestamp AT TIME ZONE 'Europe/Amsterdam' AS same, count(*)
  FROM (SELECT to_char(timestamp '2000-01-01 00:15' + n * 7919 % 210000 * interval '1 hour', 'YYYY-MM-DD HH24:MI') AS value FROM generate_series(1, 20000) AS n) AS v
 WHERE value !~ '-03-.* 02:|-10-.* 02:' GROUP BY 1;

-- bad formats and zones
SELECT left(format, 30) AS format, regress_try('2010-12-01', format)
  FROM unnest(ARRAY['%Y-%m-%d', '%d/%m', '''%Y'' yyyy-MM-dd', 'yyyy-MM-dd hh:mm', 'yyyy-MM-dd KK', 'yyyy-MM-dd HH:mm:ss zzzz', 'yyyy v', 'yyyy B', 'yyyy-MM-ddThh', 'HHH', 'ppMMdd', 'yyyy ]', 'epoch_seconds',
    repeat(' ', 1001)]) WITH ORDINALITY AS v (format, number) ORDER BY number;
SELECT zone, regress_try('2010-12-01', 'yyyy-MM-dd', zone)
  FROM unnest(ARRAY['Z', 'UTC', 'GMT+1', '+1', '+01', '+0130', '-01:30', '+01:30:30', 'Europe/Amsterdam', 'Etc/GMT+1',
    '', 'europe/amsterdam', 'Europe/Nowhere', 'FOO+5', 'UTC+19', '+25:00', 'right/Europe/Amsterdam', '../UTC', 'localtime', '1']) WITH ORDINALITY AS v (zone, number) ORDER BY number;

SELECT strm.parse_timestamp(NULL, 'nonsense') IS NULL AS null_value;
SELECT strm.parse_timestamp('2010-12-1', 'yyyy-MM-dd');
\echo :LAST_ERROR_SQLSTATE
SELECT strm.parse_timestamp('2010-12-01', 'yyyy-MM-dd }');
DROP FUNCTION regress_try;
RESET TIME ZONE;
