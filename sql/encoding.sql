-- What is encrypted is UTF-8: other tools read it. A database of another encoding is refused.
CREATE DATABASE strm_latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
\set before :DBNAME
\c strm_latin1
-- newer servers say where in the install script
\set SHOW_CONTEXT never
CREATE EXTENSION strm_privacy;
SELECT count(*) AS schemas FROM pg_namespace WHERE nspname = 'strm';
\c :before
DROP DATABASE strm_latin1;
