/*
 * sigv4.h
 *	  AWS Signature Version 4 of requests with headers, and Google's variant of it. Knows nothing of the server: no
 *	  palloc, no ereport. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
#ifndef STRM_CONNECT_SIGV4_H
#define STRM_CONNECT_SIGV4_H

#include <stdbool.h>
#include <stddef.h>

#define STRM_SIGV4_HASH_SIZE 65 /* hexadecimal, and a zero behind it */
#define STRM_SIGV4_DATE_SIZE 17 /* 20130524T000000Z, and a zero behind it */

typedef struct StrmSigv4Header
{
	const char *name;			/* lower case */
	const char *value;			/* without white space at its ends */
} StrmSigv4Header;

typedef struct StrmSigv4
{
	bool		google;			/* GOOG4-HMAC-SHA256 instead of AWS4-HMAC-SHA256 */
	const char *access_key;
	const char *secret_key;
	const char *region;
	const char *service;		/* "s3" */
	const char *date;			/* 20130524T000000Z */
	const char *method;
	const char *path;			/* percent-encoded, as sent */
	const char *query;			/* percent-encoded, parameters sorted, each with a =; may be "" */
	const StrmSigv4Header *headers; /* to be signed: sorted by name, host among them */
	int			nheaders;
	const char *payload_hash;	/* hexadecimal SHA-256 of the body */
} StrmSigv4;

/* The hexadecimal SHA-256 of data. false when there is no memory. */
extern bool strm_sigv4_hash(const void *data, size_t size, char out[STRM_SIGV4_HASH_SIZE]);

/* Writes the value of the Authorization header to out; false when it does not fit into size. */
extern bool strm_sigv4_authorization(const StrmSigv4 *request, char *out, size_t size);

#endif							/* STRM_CONNECT_SIGV4_H */
