/*
 * s3.h
 *	  Amazon S3's protocol: kind s3, and what kind gcs shares with it. For s3*.c and gcs.c, and for the table of kinds.
 *
 *	  A store's scratch context is reset when an operation begins; what an operation returns to the outside lives in the
 *	  context that was current.
 */
#ifndef STRM_CONNECT_S3_H
#define STRM_CONNECT_S3_H

#include "datatype/timestamp.h"

#include "connect/http.h"
#include "connect/sigv4.h"
#include "contract/document.h"

extern const StrmConnectorKind strm_s3_kind;
extern const StrmConnectorKind strm_gcs_kind;

/* An access key, in memory that is wiped. session_token may be NULL. */
typedef struct StrmS3Key
{
	char	   *access_key;
	char	   *secret_key;
	char	   *session_token;
} StrmS3Key;

typedef struct StrmS3Store StrmS3Store;
typedef struct StrmS3Request StrmS3Request;

/* What differs between the stores that speak this protocol. */
typedef struct StrmS3Dialect
{
	const char *prefix;			/* of header names: "x-amz-" */
	/* The header that makes a PUT fail with 412 when there is an object already. */
	const char *absent_name;
	const char *absent_value;
	/* Appends what shows who asks; all other headers are there. May raise, may itself call over the store's session. */
	void		(*authorize) (StrmS3Store *store, StrmS3Request *request, const char *host, const char *path,
							  List **headers);
	/* The store says that what was shown has expired: forgets it, so that it is fetched again. false: it cannot be. */
	bool		(*forget) (StrmS3Store *store);
} StrmS3Dialect;

struct StrmS3Store
{
	StrmStore	base;
	const StrmS3Dialect *dialect;
	StrmHttp   *http;
	MemoryContext cxt;
	MemoryContext scratch;
	/* location */
	char	   *bucket;
	char	   *region;			/* changes when the store says that it is another one */
	char	   *endpoint;		/* NULL: Amazon's */
	bool		path_style;
	char	   *encryption;		/* AES256, aws:kms or NULL */
	char	   *kms_key;
	char	   *role;			/* to be assumed, or NULL */
	char	   *sts_endpoint;	/* NULL: Amazon's */
	/* credentials */
	StrmS3Key	key;			/* as given */
	StrmS3Key	role_key;		/* while the role is assumed */
	TimestampTz role_until;
	void	   *dialect_state;
};

/* A request for an object (or the bucket, with key ""). */
struct StrmS3Request
{
	StrmHttpRequest http;
	StrmS3Store *store;
	const char *key;
	const char *query;			/* canonical: encoded, sorted, each with a = */
	char		payload_hash[STRM_SIGV4_HASH_SIZE];
};

/* --- s3.c: what all kinds of this protocol have in common --- */

/* Reads {"AccessKey": {...}}, as `aws iam create-access-key` prints it, the same flat, or with Credentials. */
extern void strm_s3_read_key(StrmDocument *document, Jsonb *credentials, StrmS3Key *key);

/* Is it the name of a bucket? A fault when not. */
extern void strm_s3_check_bucket(const char *bucket, StrmFaults *faults);

/* An open store of that dialect, without location and credentials, in the current memory context. */
extern StrmS3Store *strm_s3_store_create(const StrmConnector *connector, const StrmS3Dialect *dialect);

extern void strm_s3_close(StrmStore *store);
extern bool strm_s3_exists(StrmStore *store, const char *path);
extern StrmByteSource *strm_s3_read(StrmStore *store, const char *path);
extern void strm_s3_check(StrmStore *store, const char *prefix);

/* --- s3_request.c --- */

/* A request in the current context. query may be "". */
extern StrmS3Request *strm_s3_request(StrmS3Store *store, const char *verb, const char *method, const char *key,
									  const char *query);

/* Its body, which stays where it is; its hash is signed. */
extern void strm_s3_request_body(StrmS3Request *request, const char *body, Size size);

/* Appends a header with the dialect's prefix. */
extern void strm_s3_request_header(StrmS3Request *request, const char *name, const char *value);

/* Calls and raises unless it succeeded. */
extern StrmHttpResponse *strm_s3_call(StrmS3Request *request);

/* Signs with a key: appends date, token, and Authorization. host, path: as sent. */
extern void strm_s3_sign(const StrmS3Key *key, const char *region, const char *service, bool google,
						 const StrmHttpRequest *request, const char *host, const char *path, const char *query,
						 const char *payload_hash, List **headers);

/* --- s3_role.c --- */

/* The key to sign with now: the given one, or that of the assumed role, fetched when it is about to expire. */
extern const StrmS3Key *strm_s3_current_key(StrmS3Store *store);

/* --- s3_sink.c --- */

extern StrmByteSink *strm_s3_write(StrmStore *store, const char *path, const StrmSinkOptions *options);
extern bool strm_s3_clean_up(StrmStore *store, const char *path, const pg_uuid_t *intent, const char *detail);

#endif							/* STRM_CONNECT_S3_H */
