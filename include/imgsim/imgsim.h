/* SPDX-License-Identifier: Apache-2.0 */
/* The whole public API of libimgsim. */
#ifndef IMGSIM_H
#define IMGSIM_H

#include <imgsim/base.h>
#include <imgsim/catalog.h>
#include <imgsim/cluster.h>
#include <imgsim/derive.h>
#include <imgsim/duplicates.h>
#include <imgsim/extractor.h>
#include <imgsim/image.h>
#include <imgsim/index.h>
#include <imgsim/map.h>
#include <imgsim/metric.h>
#include <imgsim/page.h>
#include <imgsim/projector.h>
#include <imgsim/query.h>
#include <imgsim/repair.h>
#include <imgsim/scan.h>

#endif
