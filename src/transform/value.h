/*
 * value.h
 *	  Personal values between SQL, their canonical text, and ciphertext.
 */
#ifndef STRM_TRANSFORM_VALUE_H
#define STRM_TRANSFORM_VALUE_H

#include "lib/stringinfo.h"

#include "contract/contract.h"
#include "keys/data_key.h"

/*
 * Parses text as the field's type and writes its one canonical text: STRING as it is; BOOLEAN true or false; INTEGER
 * and LONG decimal; FLOAT shortest round-trip, NaN, Infinity, -Infinity. false when it is not of that type (the caller
 * raises). The result is text itself or written to buffer, which is reset first.
 */
extern bool strm_value_canonical(const StrmField *field, const char *text, Size size, StringInfo buffer,
								 const char **canonical, Size *canonical_size);

/*
 * The same canonical text, of a value that has the field's native (element) type already. Uses buffer in the same way.
 */
extern void strm_value_text(const StrmField *field, Datum value, StringInfo buffer, const char **text, Size *size);

/* The Datum of the field's native type (element type when repeated) of a canonical text; false when it is none. */
extern bool strm_value_parse(const StrmField *field, const char *canonical, Size size, Datum *result);

/* "is not a valid INTEGER": what a value is that is not of its field's type. */
extern const char *strm_value_type_rule(const StrmField *field);

/* Encrypts size bytes and appends the base64 text to out. */
extern void strm_value_append_encrypted(StrmDataKey *key, const char *plain, Size size, StringInfo out);

/* The same; the result is a palloc'd text. */
extern text *strm_value_encrypt(StrmDataKey *key, const char *plain, Size size);

/*
 * Decrypts a base64 text into buffer (reset first, NUL-terminated; the caller wipes it). false when it is not authentic
 * under key.
 */
extern bool strm_value_decrypt(StrmDataKey *key, const char *cipher, Size size, StringInfo buffer);

#endif							/* STRM_TRANSFORM_VALUE_H */
