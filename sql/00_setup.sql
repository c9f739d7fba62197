-- The extension, and the purposes that the other tests refer to.
CREATE EXTENSION strm_privacy;
SELECT strm.create_purpose(1, 'Analytics'), strm.create_purpose(2, 'Personalisation'), strm.create_purpose(3, 'Marketing');
