/*
 * seal.c
 *	  The seal's message, made from a stored row, and its MAC. seal.h gives the message's layout.
 *
 *	  The last authentic row is remembered as it was given. The same row again needs neither message nor MAC: that is
 *	  the case when several fields of one row are revealed.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "common/errors.h"
#include "crypto/base64.h"
#include "crypto/envelope.h"
#include "strm_privacy.h"
#include "transform/seal.h"

#define STRM_SEAL_FORMAT 1
#define STRM_SEAL_STACK 1024

/*
 * Room for a remembered row: 80 personal fields, the most that a contract has, of which none is repeated, and their
 * header.
 */
#define STRM_SEAL_REMEMBERED 4096

enum
{
	STRM_SHAPE_NULL = 0, STRM_SHAPE_SCALAR = 1, STRM_SHAPE_ARRAY = 2
};

/* A message under construction: on the stack until it grows large. */
typedef struct StrmSealMessage
{
	uint8	   *data;
	Size		used;
	Size		room;
	uint8		stack[STRM_SEAL_STACK];
} StrmSealMessage;

/*
 * All that a message is made of, side by side as it is stored: equal rows have equal messages. Only of rows whose
 * personal values are neither long nor compressed.
 */
typedef struct StrmSealRow
{
	Size		size;
	uint8		data[STRM_SEAL_REMEMBERED];
} StrmSealRow;

/* The fixed part of a StrmSealRow's data; it has no padding. */
typedef struct StrmSealRowStart
{
	pg_uuid_t	stream;
	pg_uuid_t	key_link;
	uint8		seal[STRM_CMAC_SIZE];
	TimestampTz timestamp;
	int32		nonce;
	int32		version_size;
} StrmSealRowStart;

StaticAssertDecl(sizeof(StrmSealRowStart) == 2 * UUID_LEN + STRM_CMAC_SIZE + 16, "StrmSealRowStart has padding");

/* The last row found authentic. */
static StrmSealRow last_verified;

static pg_noinline void
strm_seal_grow(StrmSealMessage *message, Size size)
{
	Size		room = Max(Min(message->room * 2, MaxAllocSize), message->used + size);

	if (message->data == message->stack)
	{
		message->data = palloc(room);
		memcpy(message->data, message->stack, message->used);
	}
	else
		message->data = repalloc(message->data, room);
	message->room = room;
}

/* Inlined, as the two below: most sizes are constants of a few bytes. */
static inline uint8 *
strm_seal_reserve(StrmSealMessage *message, Size size)
{
	uint8	   *start;

	if (unlikely(message->used + size > message->room))
		strm_seal_grow(message, size);
	start = message->data + message->used;
	message->used += size;
	return start;
}

static inline void
strm_seal_put(StrmSealMessage *message, const void *data, Size size)
{
	memcpy(strm_seal_reserve(message, size), data, size);
}

static inline void
strm_seal_put_number(StrmSealMessage *message, uint64 value, int size)
{
	uint8	   *out = strm_seal_reserve(message, size);

	for (int i = size - 1; i >= 0; i--)
	{
		out[i] = (uint8) value;
		value >>= 8;
	}
}

/* The server's columns. false when a column has a form that the server never writes. */
static bool
strm_seal_put_header(StrmSealMessage *message, const StrmStream *stream, const StrmSealedRow *row)
{
	const ArrayType *levels = row->consent_levels;
	int			nlevels;
	int64		ms = row->timestamp / 1000 + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000;

	if (row->timestamp % 1000 != 0 || row->version_size > 255 || ARR_NDIM(levels) > 1 || ARR_HASNULL(levels) ||
		ARR_ELEMTYPE(levels) != INT4OID)
		return false;
	nlevels = ARR_NDIM(levels) == 0 ? 0 : ARR_DIMS(levels)[0];
	if (nlevels > PG_UINT16_MAX)
		return false;

	strm_seal_put_number(message, STRM_SEAL_FORMAT, 1);
	strm_seal_put(message, stream->id.data, UUID_LEN);
	strm_seal_put_number(message, row->version_size, 1);
	strm_seal_put(message, row->version, row->version_size);
	strm_seal_put(message, row->key_link->data, UUID_LEN);
	strm_seal_put_number(message, (uint32) row->nonce, 4);
	strm_seal_put_number(message, (uint64) ms, 8);
	strm_seal_put_number(message, nlevels, 2);
	for (int i = 0; i < nlevels; i++)
		strm_seal_put_number(message, (uint32) ((int32 *) ARR_DATA_PTR(levels))[i], 4);
	return true;
}

/* The SIV of a ciphertext in base64; reads only its head. false when it is not of that form. */
static bool
strm_seal_put_siv(StrmSealMessage *message, const char *base64, Size size)
{
	uint8		head[STRM_ENVELOPE_OVERHEAD];

	if (!strm_base64_decode_head(base64, size, head))
		return false;
	strm_seal_put(message, head + STRM_ENVELOPE_PREFIX_SIZE, STRM_SIV_TAG_SIZE);
	return true;
}

/* The elements of a repeated field's ciphertexts. */
static bool
strm_seal_put_array(StrmSealMessage *message, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	bool		ok = true;

	if (ARR_ELEMTYPE(array) != TEXTOID || ARR_NDIM(array) > 1)
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	strm_seal_put_number(message, n, 4);
	for (int i = 0; i < n && ok; i++)
	{
		strm_seal_put_number(message, nulls[i] ? 0 : 1, 1);
		if (!nulls[i])
		{
			text	   *element = DatumGetTextPP(elements[i]);

			ok = strm_seal_put_siv(message, VARDATA_ANY(element), VARSIZE_ANY_EXHDR(element));
		}
	}
	pfree(elements);
	pfree(nulls);
	return ok;
}

/* One scalar ciphertext; a long one that is stored out of line or compressed is read no further than its head. */
static bool
strm_seal_put_scalar(StrmSealMessage *message, Datum value)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(value);
	struct varlena *plain = stored;
	bool		ok;

	if (VARATT_IS_EXTERNAL(stored) || VARATT_IS_COMPRESSED(stored))
		plain = PG_DETOAST_DATUM_SLICE(value, 0, STRM_BASE64_SIZE(STRM_ENVELOPE_OVERHEAD));
	ok = strm_seal_put_siv(message, VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
	if (plain != stored)
		pfree(plain);
	return ok;
}

/* Builds the whole message; false when the row has a form that the server never writes. */
static bool
strm_seal_build(StrmSealMessage *message, const StrmStream *stream, const StrmSealedRow *row)
{
	const StrmContract *contract = stream->contract;

	message->data = message->stack;
	message->used = 0;
	message->room = STRM_SEAL_STACK;
	if (row->npersonal != contract->npersonal || !strm_seal_put_header(message, stream, row))
		return false;

	for (int i = 0; i < row->npersonal; i++)
	{
		int			ordinal = contract->personal[i];
		bool		repeated = contract->fields[ordinal].repeated;

		strm_seal_put_number(message, ordinal, 2);
		if (row->personal_null[i])
		{
			strm_seal_put_number(message, STRM_SHAPE_NULL, 1);
			continue;
		}
		strm_seal_put_number(message, repeated ? STRM_SHAPE_ARRAY : STRM_SHAPE_SCALAR, 1);
		if (repeated ? !strm_seal_put_array(message, row->personal[i])
			: !strm_seal_put_scalar(message, row->personal[i]))
			return false;
	}
	return true;
}

static void
strm_seal_free(StrmSealMessage *message)
{
	if (message->data != message->stack)
		pfree(message->data);
}

static void
strm_seal_mac(StrmDataKey *key, const StrmSealMessage *message, uint8 out[STRM_CMAC_SIZE])
{
	if (strm_cmac_compute(strm_data_key_cmac(key), message->data, message->used, out) != STRM_CRYPTO_OK)
		ereport(ERROR, errcode(STRM_ERR_INTERNAL), errmsg("could not compute a seal"));
}

void
strm_seal_compute(const StrmStream *stream, StrmDataKey *key, const StrmSealedRow *row, uint8 out[STRM_CMAC_SIZE])
{
	StrmSealMessage message;

	if (!strm_seal_build(&message, stream, row))
		ereport(ERROR, errcode(STRM_ERR_FORGED), errmsg("a row cannot be sealed: it is not of the stream's form"));
	strm_seal_mac(key, &message, out);
	strm_seal_free(&message);
}

/* Copies what concerns the seal out of row. false when the row is not one to remember. */
static bool
strm_seal_copy_row(StrmSealRow *copy, const StrmStream *stream, const StrmSealedRow *row, const uint8 *seal)
{
	StrmSealRowStart *start = (StrmSealRowStart *) copy->data;
	Size		levels_size = VARSIZE(row->consent_levels);
	uint8	   *out = copy->data + sizeof(StrmSealRowStart);
	const uint8 *end = copy->data + sizeof(copy->data);

	if (levels_size > sizeof(copy->data) || row->version_size > (int) sizeof(copy->data) ||
		sizeof(StrmSealRowStart) + row->version_size + levels_size > sizeof(copy->data))
		return false;
	start->stream = stream->id;
	start->key_link = *row->key_link;
	memcpy(start->seal, seal, STRM_CMAC_SIZE);
	start->timestamp = row->timestamp;
	start->nonce = row->nonce;
	start->version_size = row->version_size;
	memcpy(out, row->version, row->version_size);
	out += row->version_size;
	/* begins with its size */
	memcpy(out, row->consent_levels, levels_size);
	out += levels_size;

	for (int i = 0; i < row->npersonal; i++)
	{
		const struct varlena *value = (const struct varlena *) DatumGetPointer(row->personal[i]);
		bool		repeated = stream->contract->fields[stream->contract->personal[i]].repeated;
		Size		size = STRM_BASE64_SIZE(STRM_ENVELOPE_OVERHEAD);

		if (out == end)
			return false;
		*out++ = row->personal_null[i];
		if (row->personal_null[i])
			continue;
		if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
			return false;
		if (repeated)
			size = VARSIZE_ANY(value);	/* with its header, which tells its size */
		else if (VARSIZE_ANY_EXHDR(value) < size)
			return false;
		if (size > (Size) (end - out))
			return false;
		memcpy(out, repeated ? (const char *) value : VARDATA_ANY(value), size);
		out += size;
	}
	copy->size = out - copy->data;
	return true;
}

bool
strm_seal_verify(const StrmStream *stream, StrmDataKey *key, const StrmSealedRow *row)
{
	StrmSealRow copy;
	StrmSealMessage message;
	uint8		mac[STRM_CMAC_SIZE];
	const uint8 *seal;
	bool		copied;
	bool		authentic;

	if (row->seal == NULL || VARSIZE_ANY_EXHDR(row->seal) != STRM_CMAC_SIZE ||
		row->npersonal != stream->contract->npersonal)
		return false;
	seal = (const uint8 *) VARDATA_ANY(row->seal);
	copied = strm_seal_copy_row(&copy, stream, row, seal);
	if (copied && copy.size == last_verified.size && memcmp(copy.data, last_verified.data, copy.size) == 0)
		return true;

	if (!strm_seal_build(&message, stream, row))
		return false;
	strm_seal_mac(key, &message, mac);
	authentic = strm_cmac_equal(mac, seal);
	if (authentic && copied)
	{
		memcpy(last_verified.data, copy.data, copy.size);
		last_verified.size = copy.size;
	}
	strm_seal_free(&message);
	return authentic;
}
