/*
 * value.c
 *	  Personal values: from the text a producer sent to one canonical text, to ciphertext, and back.
 *
 *	  Parsing is done here and not by the types' input functions, whose errors quote the value.
 */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/errors.h"
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "strm_privacy.h"
#include "transform/value.h"

/* Longest text of a value that is not a STRING, blanks aside. */
#define STRM_NUMBER_SIZE 512

/* Plaintext of at most this size has a base64 ciphertext that fits a datum. */
#define STRM_MAX_PLAINTEXT ((Size) (MaxAllocSize - VARHDRSZ) / 4 * 3 - STRM_ENVELOPE_OVERHEAD - 3)

/* Skips blanks on both sides, as the types' input functions do. */
static void
strm_value_trim(const char **text, Size *size)
{
	while (*size > 0 && isspace((unsigned char) (*text)[0]))
	{
		(*text)++;
		(*size)--;
	}
	while (*size > 0 && isspace((unsigned char) (*text)[*size - 1]))
		(*size)--;
}

/* An integer within the range; digits with an optional sign only. */
static bool
strm_value_scan_integer(const char *text, Size size, int64 min, int64 max, int64 *result)
{
	char		buffer[STRM_NUMBER_SIZE];
	char	   *end;
	long long	value;
	const char *digits = text;

	if (size > 0 && (*digits == '-' || *digits == '+'))
		digits++;
	if (size == 0 || size >= sizeof(buffer) || digits == text + size || !isdigit((unsigned char) *digits))
		return false;
	memcpy(buffer, text, size);
	buffer[size] = '\0';
	errno = 0;
	value = strtoll(buffer, &end, 10);
	if (errno != 0 || *end != '\0' || value < min || value > max)
		return false;
	*result = value;
	return true;
}

/* A double precision number as float8in takes it, without hexadecimal forms. */
static bool
strm_value_scan_float(const char *text, Size size, double *result)
{
	char		buffer[STRM_NUMBER_SIZE];
	char	   *end;

	if (size == 0 || size >= sizeof(buffer) || isspace((unsigned char) text[0]))
		return false;
	memcpy(buffer, text, size);
	buffer[size] = '\0';
	if (strpbrk(buffer, "xX(") != NULL)
		return false;
	errno = 0;
	*result = strtod(buffer, &end);
	if (end == buffer || *end != '\0')
		return false;
	/* too large is an error, as it is for float8; too small for a normal number is not */
	return errno != ERANGE || (*result != 0.0 && !isinf(*result));
}

/* Shortest text that reads back as value; negative zero keeps its sign. */
static void
strm_value_append_float(StringInfo buffer, double value)
{
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isnan(value))
		appendStringInfoString(buffer, "NaN");
	else if (isinf(value))
		appendStringInfoString(buffer, value < 0 ? "-Infinity" : "Infinity");
	else
	{
		double_to_shortest_decimal_buf(value, text);
		appendStringInfoString(buffer, text);
	}
}

const char *
strm_value_type_rule(const StrmField *field)
{
	switch (field->type)
	{
		case STRM_TYPE_BOOLEAN:
			return "is not a valid BOOLEAN";
		case STRM_TYPE_INTEGER:
			return "is not a valid INTEGER";
		case STRM_TYPE_LONG:
			return "is not a valid LONG";
		case STRM_TYPE_FLOAT:
			return "is not a valid FLOAT";
		default:
			return "is not a valid STRING";
	}
}

bool
strm_value_canonical(const StrmField *field, const char *text, Size size, StringInfo buffer, const char **canonical,
					 Size *canonical_size)
{
	int64		number;
	double		real;
	bool		truth;

	if (field->type == STRM_TYPE_STRING)
	{
		*canonical = text;
		*canonical_size = size;
		return true;
	}

	resetStringInfo(buffer);
	strm_value_trim(&text, &size);
	switch (field->type)
	{
		case STRM_TYPE_BOOLEAN:
			if (size == 0 || !parse_bool_with_len(text, size, &truth))
				return false;
			appendStringInfoString(buffer, truth ? "true" : "false");
			break;
		case STRM_TYPE_INTEGER:
			if (!strm_value_scan_integer(text, size, PG_INT32_MIN, PG_INT32_MAX, &number))
				return false;
			appendStringInfo(buffer, INT64_FORMAT, number);
			break;
		case STRM_TYPE_LONG:
			if (!strm_value_scan_integer(text, size, PG_INT64_MIN, PG_INT64_MAX, &number))
				return false;
			appendStringInfo(buffer, INT64_FORMAT, number);
			break;
		case STRM_TYPE_FLOAT:
			if (!strm_value_scan_float(text, size, &real))
				return false;
			strm_value_append_float(buffer, real);
			break;
		default:
			return false;
	}
	*canonical = buffer->data;
	*canonical_size = buffer->len;
	return true;
}

void
strm_value_text(const StrmField *field, Datum value, StringInfo buffer, const char **text_out, Size *size)
{
	if (field->type == STRM_TYPE_STRING)
	{
		text	   *string = DatumGetTextPP(value);

		*text_out = VARDATA_ANY(string);
		*size = VARSIZE_ANY_EXHDR(string);
		return;
	}

	resetStringInfo(buffer);
	switch (field->type)
	{
		case STRM_TYPE_BOOLEAN:
			appendStringInfoString(buffer, DatumGetBool(value) ? "true" : "false");
			break;
		case STRM_TYPE_INTEGER:
			appendStringInfo(buffer, "%d", DatumGetInt32(value));
			break;
		case STRM_TYPE_LONG:
			appendStringInfo(buffer, INT64_FORMAT, DatumGetInt64(value));
			break;
		case STRM_TYPE_FLOAT:
			strm_value_append_float(buffer, DatumGetFloat8(value));
			break;
		default:
			break;
	}
	*text_out = buffer->data;
	*size = buffer->len;
}

bool
strm_value_parse(const StrmField *field, const char *canonical, Size size, Datum *result)
{
	int64		number = 0;
	double		real = 0;
	bool		truth = false;
	bool		ok = false;

	switch (field->type)
	{
		case STRM_TYPE_STRING:
			*result = PointerGetDatum(cstring_to_text_with_len(canonical, size));
			return true;
		case STRM_TYPE_BOOLEAN:
			ok = parse_bool_with_len(canonical, size, &truth);
			*result = BoolGetDatum(truth);
			break;
		case STRM_TYPE_INTEGER:
			ok = strm_value_scan_integer(canonical, size, PG_INT32_MIN, PG_INT32_MAX, &number);
			*result = Int32GetDatum((int32) number);
			break;
		case STRM_TYPE_LONG:
			ok = strm_value_scan_integer(canonical, size, PG_INT64_MIN, PG_INT64_MAX, &number);
			*result = Int64GetDatum(number);
			break;
		case STRM_TYPE_FLOAT:
			ok = strm_value_scan_float(canonical, size, &real);
			*result = Float8GetDatum(real);
			break;
	}
	return ok;
}

/* Encrypts size bytes; out has room for the STRM_BASE64_SIZE(size + STRM_ENVELOPE_OVERHEAD) characters of base64. */
static void
strm_value_encrypt_into(StrmDataKey *key, const char *plain, Size size, char *out)
{
	Size		cipher_size = size + STRM_ENVELOPE_OVERHEAD;
	uint8		stack[1024];
	uint8	   *cipher = cipher_size > sizeof(stack) ? palloc(cipher_size) : stack;

	if (strm_envelope_encrypt(strm_data_key_siv(key), key->key_id, (const uint8 *) plain, size,
							  cipher) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not encrypt a value"));
	strm_base64_encode(cipher, cipher_size, out);
	if (cipher != stack)
		pfree(cipher);
}

/* Characters of the ciphertext of size bytes; raises when there is no room for so many. */
static Size
strm_value_encrypted_size(Size size)
{
	if (size > STRM_MAX_PLAINTEXT)
		strm_ereport_private(errcode(STRM_ERR_LIMIT),
							 errmsg("a personal value is too long to be encrypted"),
							 errdetail("The limit is %zu bytes.", STRM_MAX_PLAINTEXT));
	return STRM_BASE64_SIZE(size + STRM_ENVELOPE_OVERHEAD);
}

void
strm_value_append_encrypted(StrmDataKey *key, const char *plain, Size size, StringInfo out)
{
	Size		text_size = strm_value_encrypted_size(size);

	enlargeStringInfo(out, (int) text_size);
	strm_value_encrypt_into(key, plain, size, out->data + out->len);
	out->len += (int) text_size;
	out->data[out->len] = '\0';
}

text *
strm_value_encrypt(StrmDataKey *key, const char *plain, Size size)
{
	Size		text_size = strm_value_encrypted_size(size);
	text	   *result = palloc(VARHDRSZ + text_size);

	SET_VARSIZE(result, VARHDRSZ + text_size);
	strm_value_encrypt_into(key, plain, size, VARDATA(result));
	return result;
}

bool
strm_value_decrypt(StrmDataKey *key, const char *cipher, Size size, StringInfo buffer)
{
	uint8		stack[1024];
	Size		room = size / 4 * 3;
	uint8	   *raw = stack;
	size_t		raw_size;
	bool		ok;

	resetStringInfo(buffer);
	if (room > sizeof(stack))
		raw = palloc(room);
	ok = strm_base64_decode(cipher, size, raw, &raw_size) && raw_size >= STRM_ENVELOPE_OVERHEAD;
	if (ok)
	{
		enlargeStringInfo(buffer, raw_size - STRM_ENVELOPE_OVERHEAD);
		ok = strm_envelope_decrypt(strm_data_key_siv(key), key->key_id, raw, raw_size,
								   (uint8 *) buffer->data) == STRM_CRYPTO_OK;
	}
	if (ok)
		buffer->len = raw_size - STRM_ENVELOPE_OVERHEAD;
	buffer->data[buffer->len] = '\0';
	if (raw != stack)
		pfree(raw);
	return ok;
}
