/** @file inspect.h
 *  Looking inside: counters, explanations, dumps of every stage, kernels that ran, graphs as text. */
#ifndef SINTER_INSPECT_H
#define SINTER_INSPECT_H

#include <sinter/binding.h>
#include <sinter/error.h>

SN_BEGIN_DECLS

/** Process-wide counters, monotonic. */
typedef struct sn_counters {
    size_t size;               /**< sizeof(sn_counters), filled by the caller or 0 */
    int64_t traces;            /**< functions run on proxies */
    int64_t guard_hits;        /**< calls that went straight to the kernels */
    int64_t guard_misses;      /**< calls whose key was new */
    int64_t recompiles;        /**< graphs compiled for a function that had one already */
    int64_t fallbacks;         /**< graphs that were run node by node */
    int64_t host_reads;        /**< flushes inside compiled functions */
    int64_t reruns;            /**< calls that ran the function to match it */
    int64_t kernels;           /**< kernels launched */
    int64_t extern_calls;      /**< always 0: kept for the layout of the struct */
    int64_t compiles;          /**< kernels compiled by LLVM */
    int64_t cache_memory_hits; /**< kernels found in this process */
    int64_t cache_pack_hits;   /**< kernels found in the library's own pack */
    int64_t cache_disk_hits;   /**< kernels found on disk */
    int64_t cache_disk_misses; /**< kernels not found there */
    int64_t cache_corrupt;     /**< bad files, treated as missing */
    int64_t trace_ns;          /**< time in traces */
    int64_t plan_ns;           /**< time in passes */
    int64_t compile_ns;        /**< time in LLVM */
    int64_t llvm_load_ns;      /**< time to load libLLVM, once */
    int64_t disk_load_ns;      /**< time to load kernels from disk */
    int64_t pack_bytes;        /**< size of the library's pack of kernels */
    int64_t eager_calls;       /**< calls that a stance made eager */
} sn_counters;
SN_API void sn_counters_get(sn_counters *counters);

/** What became of one compiled function. */
typedef struct sn_explanation {
    size_t size;     /**< sizeof(sn_explanation), or 0 */
    int32_t entries; /**< guarded entries */
    int32_t graphs;  /**< graphs, over all entries */
    int32_t ops;     /**< ops recorded in the latest entry */
    int32_t kernels; /**< launches of the latest entry: kernels that run tile by tile are one */
    int32_t extern_calls; /**< always 0: kept for the layout of the struct */
    int32_t reorders; /**< kernels of the latest entry that compute nothing: they change a layout */
    int32_t host_reads; /**< host reads of the latest entry */
    int32_t fallbacks;  /**< graphs that run node by node */
    bool rerun;         /**< the function is run on every call */
    int64_t trace_ns;   /**< of the latest entry */
    int64_t plan_ns;
    int64_t compile_ns;
    int64_t bytes;         /**< that the kernels move */
    int64_t flops;         /**< scalar operations, a multiply-add as two */
    int64_t instructions;  /**< the same with a multiply-add as one */
    int64_t bytes_unfused; /**< that the same ops move when run one by one */
    int64_t peak_bytes;    /**< temporary memory and results of one call */
    int64_t bytes_stored;  /**< those of `bytes` that the kernels write */
} sn_explanation;
SN_API sn_status sn_explain(sn_compiled *compiled, sn_explanation *explanation);
/** The same, and guards, kernels, what fused and what did not and why, as text: a malloc'ed string
 *  that the caller frees with sn_text_free, or NULL. */
SN_API char *sn_explain_text(sn_compiled *compiled);
/** Dumps a stage of what ran in the latest trace. Caller frees with sn_text_free; NULL with the error, which
 *  is the thread's where `error` is NULL, here and for graphs.
 *
 *  | stage | what it prints |
 *  | --- | --- |
 *  | "graph", "dot" | the graph as recorded; the same for Graphviz |
 *  | "decompose", "simplify", "fuse", … | what the pass of that name leaves |
 *  | "program" | buffers and kernels in order |
 *  | "explain" | kernels, their ops and bytes; what was not fused, and why |
 *  | "kernels" | kernel IR |
 *  | "llvm", "asm", "cuda", "ptx" | code of the kernels; "ptx" where NVRTC is installed |
 *  | "all" | the graph, what each pass leaves, kernel IR |
 *  | "guards" | what has to hold for the kernels to be used; not of a graph alone |
 *  | "html" | one page with all of it, for a browser; not of a graph alone |
 *
 *  An error about a stage that is not there names those that are. */
SN_API char *sn_dump(sn_compiled *compiled, const char *stage, sn_error *error);
SN_API void sn_text_free(char *text);

/** A launch in the kernel history. */
typedef struct sn_launch_record {
    char name[40];  /**< the kernel's name, which is its hash */
    char label[56]; /**< the ops in it */
    int64_t items;  /**< items it ran over */
    int64_t bytes;  /**< it moves */
} sn_launch_record;
/** Starts (or restarts) recording launches of this thread. */
SN_API void sn_history_begin(void);
/** Ends it, copies up to `capacity` records in order; returns how many there were. */
SN_API int32_t sn_history_end(sn_launch_record *records, int32_t capacity);

/** Starts (or restarts) a timeline of this thread: calls of compiled functions, traces, compilations,
 *  kernels, and what the library's helper threads do of a kernel ("share"). Kernels have
 *  the source line that they come from. Times are CLOCK_MONOTONIC's, in microseconds: timelines of several
 *  threads lie side by side in a viewer once their events are in one file. */
SN_API void sn_timeline_begin(void);
/** Ends it. Returns it as JSON in Chrome's trace-event format, for chrome://tracing or ui.perfetto.dev: a
 *  malloc'ed string that the caller frees with sn_text_free; NULL when out of memory. */
SN_API char *sn_timeline_end(void);

/** Seconds of one call split: `kernels` is a direct entry into the same kernels with the memory of a
 *  call, without guards, allocation of handles, or scopes. Runs the latest entry `calls` times, and then
 *  up to 15 times more if its kernels were not timed one by one yet, for sn_explain_text and the page of
 *  sn_dump. Negative on error. */
SN_API double sn_kernel_seconds(sn_compiled *compiled, const sn_value *inputs, int32_t n_inputs,
                                int32_t calls);

/** @name Graphs as text
 *  @{ */
typedef struct sn_graph sn_graph;
SN_API sn_graph *sn_graph_parse(const char *text, size_t length, sn_error *error);
SN_API char *sn_graph_print(const sn_graph *graph);
/** Dumps a stage of compiling this graph: those of sn_dump but "guards" and "html", which a function has
 *  that was called. */
SN_API char *sn_graph_dump(const sn_graph *graph, const char *stage, sn_error *error);
/** Compiles and runs it. Outputs are owned references. */
SN_API sn_status sn_graph_run(const sn_graph *graph, sn_tensor *const *inputs, int32_t n_inputs,
                              sn_tensor **outputs, int32_t capacity, int32_t *n_outputs,
                              sn_error *error);
/** NULL is ignored; a graph that was freed already is an error (handle), here and above. */
SN_API void sn_graph_free(sn_graph *graph);
/** @} */

SN_END_DECLS

#endif
