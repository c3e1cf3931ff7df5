/* The counters; see counters.h. */
#include "frontend/tensor/counters.h"

FrontendCounters frontend_counters;
