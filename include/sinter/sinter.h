/** @file sinter.h
 *  All of Sinter: eager tensors, compiled functions, inspection. */
#ifndef SINTER_H
#define SINTER_H

#include <sinter/base.h>
#include <sinter/binding.h>
#include <sinter/compile.h>
#include <sinter/compose.h>
#include <sinter/error.h>
#include <sinter/inspect.h>
#include <sinter/io.h>
#include <sinter/ops.h>
#include <sinter/random.h>
#include <sinter/runtime.h>
#include <sinter/scope.h>
#include <sinter/tensor.h>

#endif
