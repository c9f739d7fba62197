/*
 * test_sigv4.c
 *	  Signature Version 4: the examples that Amazon S3's documentation publishes for requests with headers, and the
 *	  signed request of the IAM documentation's suite.
 */
#include <sodium.h>

#include "connect/sigv4.h"
#include "tap.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EXAMPLE_HOST {"host", "examplebucket.s3.amazonaws.com"}

/* https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
static const struct
{
	const char *name;
	const char *method;
	const char *path;
	const char *query;
	const char *body;
	StrmSigv4Header headers[6];
	const char *signed_headers;
	const char *signature;
}			examples[] = {
	{
		"GET of a range", "GET", "/test.txt", "", "",
		{EXAMPLE_HOST, {"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", "20130524T000000Z"}},
		"host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	},
	{
		"PUT of an object", "PUT", "/test%24file.text", "", "Welcome to Amazon S3.",
		{
			{"date", "Fri, 24 May 2013 00:00:00 GMT"}, EXAMPLE_HOST,
			{"x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
			{"x-amz-date", "20130524T000000Z"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}
		},
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
	},
	{
		"GET of a parameter without value", "GET", "/", "lifecycle=", "",
		{EXAMPLE_HOST, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", "20130524T000000Z"}},
		"host;x-amz-content-sha256;x-amz-date",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
	},
	{
		"GET of a list", "GET", "/", "max-keys=2&prefix=J", "",
		{EXAMPLE_HOST, {"x-amz-content-sha256", EMPTY}, {"x-amz-date", "20130524T000000Z"}},
		"host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
	},
};

static void
test_examples(void)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
	{
		char		hash[STRM_SIGV4_HASH_SIZE];
		char		got[1024];
		char		expected[1024];
		StrmSigv4	request = {
			.access_key = "AKIAIOSFODNN7EXAMPLE",
			.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			.region = "us-east-1",
			.service = "s3",
			.date = "20130524T000000Z",
			.method = examples[i].method,
			.path = examples[i].path,
			.query = examples[i].query,
			.headers = examples[i].headers,
			.payload_hash = hash
		};

		while (request.nheaders < 6 && examples[i].headers[request.nheaders].name != NULL)
			request.nheaders++;
		strm_sigv4_hash(examples[i].body, strlen(examples[i].body), hash);
		snprintf(expected, sizeof(expected),
				 "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=%s, Signature=%s",
				 examples[i].signed_headers, examples[i].signature);
		ok(strm_sigv4_authorization(&request, got, sizeof(got)) && strcmp(got, expected) == 0, "%s", examples[i].name);
	}
}

/* Another service and region: the worked example of "Create a signed AWS API request". */
static void
test_service(void)
{
	static const StrmSigv4Header headers[] = {
		{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}, {"host", "iam.amazonaws.com"},
		{"x-amz-date", "20150830T123600Z"}
	};
	StrmSigv4	request = {
		.access_key = "AKIDEXAMPLE",
		.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		.region = "us-east-1",
		.service = "iam",
		.date = "20150830T123600Z",
		.method = "GET",
		.path = "/",
		.query = "Action=ListUsers&Version=2010-05-08",
		.headers = headers,
		.nheaders = 3,
		.payload_hash = EMPTY
	};
	char		got[512];

	ok(strm_sigv4_authorization(&request, got, sizeof(got)) &&
	   strstr(got, "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7") != NULL,
	   "another service");
	ok(!strm_sigv4_authorization(&request, got, 100), "what does not fit is refused");
	request.region = "a-region-name-that-is-longer-than-any-real-one-a-region-name-that-is-longer-than-any-real-one-"
		"a-region-name-that-is-longer-than-any-real-one-a-region-name-that-is-longer-than-any-real-one-"
		"a-region-name-that-is-longer-than-any-real-one-a-region-name-that-is-longer-than-any-real-one";
	ok(!strm_sigv4_authorization(&request, got, sizeof(got)), "an endless region is refused");
	request.region = "auto";
	request.google = true;
	ok(strm_sigv4_authorization(&request, got, sizeof(got)) &&
	   strstr(got, "GOOG4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/auto/iam/goog4_request, ") == got,
	   "Google's names");
}

int
main(void)
{
	if (sodium_init() < 0)
		bail_out("libsodium");
	test_examples();
	test_service();
	return tap_done();
}
