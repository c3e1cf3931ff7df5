/* The counters; see counters.h. */
#include "frontend/trace/counters.h"

FrontendCounters frontend_counters;
