/*
 * contract_document.h
 *	  Reading the contract's own document into a StrmContract whose fields are known.
 */
#ifndef STRM_CONTRACT_CONTRACT_DOCUMENT_H
#define STRM_CONTRACT_CONTRACT_DOCUMENT_H

#include "contract/contract.h"
#include "contract/document.h"

/*
 * Reads key field, data subject field, personal fields and validations. contract has its fields; has_schema is false
 * when they could not be read, and then references to fields are not judged.
 */
extern void strm_contract_document_read(StrmDocument *document, Jsonb *source, StrmContract *contract, bool has_schema);

#endif							/* STRM_CONTRACT_CONTRACT_DOCUMENT_H */
