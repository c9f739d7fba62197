/*
 * view.h
 *	  The view that is a derived stream.
 */
#ifndef STRM_DERIVED_VIEW_H
#define STRM_DERIVED_VIEW_H

#include "derived/definition.h"

/* Creates the view, its trigger and comments as the current user, and returns its OID. */
extern Oid	strm_derived_create_view(const StrmDerivedDefinition *definition);

/* Drops the view as the current user. */
extern void strm_derived_drop_view(Oid relid);

#endif							/* STRM_DERIVED_VIEW_H */
