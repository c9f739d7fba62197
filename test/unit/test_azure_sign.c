/*
 * test_azure_sign.c
 *	  SharedKey signatures: the text that Microsoft's documentation prints for a request, requests as the extension makes
 *	  them, and their signatures under the emulator's published key, computed with another implementation of HMAC.
 */
#include <sodium.h>

#include "connect/azure_sign.h"
#include "tap.h"

#define EMULATOR_KEY "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
#define DATE {"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}

static const struct
{
	const char *name;
	StrmAzureToSign request;
	StrmAzureField parameters[3];
	StrmAzureField headers[8];
	const char *text;
	const char *authorization;
}			examples[] = {
	{
		/* https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
		"metadata of a container", {.account = "myaccount", .method = "GET", .path = "/mycontainer"},
		{{"comp", "metadata"}, {"restype", "container"}, {"timeout", "20"}},
		{DATE, {"x-ms-version", "2015-02-21"}},
		"GET\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
		"x-ms-version:2015-02-21\n"
		"/myaccount/mycontainer\n"
		"comp:metadata\n"
		"restype:container\n"
		"timeout:20",
		"SharedKey myaccount:1u9lui2jDxj0+fpbHjQ5m5NnastJRSYM+PSmfi8TXx4="
	},
	{
		"a blob of the emulator, which has the account in its path",
		{.account = "devstoreaccount1", .method = "PUT", .path = "/devstoreaccount1/box/a%20b", .body_size = 5},
		{{0}},
		{
			{"content-md5", "XUFAKrxLKna5cZ2REBfFkg=="}, {"content-type", "application/octet-stream"},
			{"if-none-match", "*"}, {"x-ms-blob-type", "BlockBlob"}, DATE, {"x-ms-meta-a", "b"},
			{"x-ms-version", "2021-12-02"}
		},
		"PUT\n"
		"\n"
		"\n"
		"5\n"
		"XUFAKrxLKna5cZ2REBfFkg==\n"
		"application/octet-stream\n"
		"\n"
		"\n"
		"\n"
		"*\n"
		"\n"
		"\n"
		"x-ms-blob-type:BlockBlob\n"
		"x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
		"x-ms-meta-a:b\n"
		"x-ms-version:2021-12-02\n"
		"/devstoreaccount1/devstoreaccount1/box/a%20b",
		"SharedKey devstoreaccount1:Jz9aaO/IQXtH6MBV0cM9uZi6mx9OlPHtvcXkqp9Y9ps="
	},
	{
		"the rest of a blob; the host is not signed",
		{.account = "devstoreaccount1", .method = "GET", .path = "/box/c"},
		{{0}},
		{{"host", "h"}, {"if-match", "\"0x8D\""}, {"range", "bytes=5-"}, DATE, {"x-ms-version", "2021-12-02"}},
		"GET\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\n"
		"\"0x8D\"\n"
		"\n"
		"\n"
		"bytes=5-\n"
		"x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
		"x-ms-version:2021-12-02\n"
		"/devstoreaccount1/box/c",
		"SharedKey devstoreaccount1:IuT9RdZkEPDsN6YqQedsQpeM304jEyIgL74cPz33OIA="
	},
};

int
main(void)
{
	unsigned char key[64];
	size_t		key_size;
	char		text[1024];
	char		authorization[256];

	sodium_base642bin(key, sizeof(key), EMULATOR_KEY, strlen(EMULATOR_KEY), NULL, &key_size, NULL,
					  sodium_base64_VARIANT_ORIGINAL);
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
	{
		StrmAzureToSign request = examples[i].request;

		request.parameters = examples[i].parameters;
		while (request.nparameters < 3 && examples[i].parameters[request.nparameters].name != NULL)
			request.nparameters++;
		request.headers = examples[i].headers;
		while (request.nheaders < 8 && examples[i].headers[request.nheaders].name != NULL)
			request.nheaders++;
		ok(strm_azure_string_to_sign(&request, text, sizeof(text)) && strcmp(text, examples[i].text) == 0,
		   "%s: text", examples[i].name);
		ok(strm_azure_authorization(&request, key, key_size, authorization, sizeof(authorization)) &&
		   strcmp(authorization, examples[i].authorization) == 0, "%s: signature", examples[i].name);
		ok(strm_azure_string_to_sign(&request, text, strlen(examples[i].text) + 1), "%s: fits", examples[i].name);
		ok(!strm_azure_string_to_sign(&request, text, strlen(examples[i].text)), "%s: no byte less", examples[i].name);
		ok(!strm_azure_authorization(&request, key, key_size, authorization, strlen(examples[i].authorization)),
		   "%s: nor for the signature", examples[i].name);
	}
	return tap_done();
}
