/* SPDX-License-Identifier: MIT
 *
 * prepared_models: joins the catalog, which knows where a version's model is, with deploy's preparing threads, which make
 * the form that is used in place. Loop thread; the arrows between the two folders go through here.
 */
#ifndef LAMINA_DAEMON_PREPARED_MODELS_H
#define LAMINA_DAEMON_PREPARED_MODELS_H

#include "base/error.h"
#include "deploy/held.h"
#include "deploy/prepare.h"
#include "function/catalog.h"

/* From now on the catalog's versions are prepared by `prepare`, and what starts of them finds its model in sealed
 * memory where `held` has it. At start: reads the engine's library. */
void prepared_models_join(struct prepare *prepare, struct held_forms *held,
                          struct catalog *catalog);

/* At start: the version's form is linked again where its instances look, and asked to be held in sealed memory again. A form
 * that is gone is no error of the version's: its instances load the model the ordinary way. Blocks. */
void prepared_models_check(struct prepare *prepare, const struct version *version);

/* For a collection: the forms that versions of the catalog use stay. */
void prepared_models_live(struct prepare *prepare, const struct catalog *catalog,
                          struct deploy_live *live);

#endif
