/* Pages about a program that does not ask for them (SINTER_EXPLAIN): one of each compiled function,
 * written when the function is released or the process exits, and an index.
 *
 * At the exit nothing of the program is called, nor a code generator, of which something may be gone by
 * then: a page has kernel IR, not machine code. A forked child writes pages of the functions that it
 * makes itself, in a folder of its own. */
#include "frontend/inspect/pages.h"

#include "base/file_limit.h"
#include "base/settings.h"
#include "base/thread.h"
#include "base/thread/deep.h"
#include "base/thread/log.h"
#include "base/thread/parallel.h"
#include "frontend/inspect/html.h"
#include "frontend/inspect/report.h"
#include "ir/target.h"

#include <sinter/error.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGES_MOST = 1000, /* functions that have one */
    NAME_MOST = 80,    /* bytes of a function's name in that of its page */
    INDEX_MOST = 64    /* functions up to which the index is written at each release, too */
};

/* A function's page. It lives as long as the process. */
typedef struct Page {
    sn_compiled *compiled;     /* a reference; NULL once it was released, and the page written */
    char stem[NAME_MOST + 1];  /* what of the function's name is in that of the page … */
    int32_t number;            /* … which is the so many-th with it */
    char file[NAME_MOST + 32]; /* the page's name in the folder */
    char *entry;               /* what the index says of it, or NULL */
} Page;

LOCK_DEFINE(lock, RANK_PAGES);
static VEC(Page *) pages;       /* in the order in which they were made */
static int32_t left_out;        /* functions beyond those */
static char folder[PATH_MAX];   /* absolute; "": not asked for yet, or it cannot be used … */
static bool asked;              /* … and which of the two */
static _Atomic bool complained; /* something could not be written, which is told once */

/* The child's functions are its own. What it has of its parent's handles stays. */
static void forget_pages(void) {
    for (uint32_t i = 0; i < pages.count; i++) {
        mem_free(pages.data[i]->entry);
        mem_free(pages.data[i]);
    }
    pages.count = 0;
    left_out = 0;
    asked = false;
    folder[0] = 0;
}
FORK_HOOK(forget_pages);

/* ---- the folder ------------------------------------------------------------------------------ */

static void complain(const char *what, int reason) {
    char text[128];
    if (atomic_exchange(&complained, true)) return;
    const char *why = strerror_r(reason, text, sizeof text);
    fprintf(stderr, "sinter: SINTER_EXPLAIN: %s: %s; a page is missing\n", what, why);
}

/* mkdir -p; 0, or why not. */
static int make_folders(char *path) {
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char kept = *at;
        *at = '\0';
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        int reason = made ? 0 : errno;
        *at = kept;
        if (reason || !kept) return reason;
    }
}

/* Makes the folder at the first function, so that one that cannot be is told before the program has
 * run. Under the lock. */
static bool open_folder(void) {
    const char *chosen = setting_text(SETTING_EXPLAIN);
    char path[PATH_MAX], absolute[PATH_MAX];
    if (asked || !*chosen) return *folder != '\0';
    asked = true;
    int length = parallel_forked()
                     ? snprintf(path, sizeof path, "%s/child-%d", chosen, (int)getpid())
                     : snprintf(path, sizeof path, "%s", chosen);
    int reason = length < (int)sizeof path ? make_folders(path) : ENAMETOOLONG;
    if (!reason && !realpath(path, absolute)) reason = errno;
    if (!reason && access(absolute, W_OK | X_OK) != 0) reason = errno;
    if (reason)
        complain(path, reason);
    else
        memcpy(folder, absolute, strlen(absolute) + 1);
    return !reason;
}

/* 0, or why not. */
static int write_text(const char *path, const StrBuf *text) {
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (to < 0) return errno;
    size_t done = 0;
    int reason = file_size_allowed(text->length) ? 0 : EFBIG;
    while (!reason && done < text->length) {
        ssize_t written = write(to, text->text + done, text->length - done);
        if (written > 0)
            done += (size_t)written;
        else if (written < 0 && errno != EINTR)
            reason = errno;
    }
    if (close(to) != 0 && !reason) reason = errno;
    return reason;
}

/* Puts a file in its place when it is whole: who reads it never sees half. */
static void put_file(const char *name, const StrBuf *text) {
    char path[2 * PATH_MAX], temporary[2 * PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(temporary, sizeof temporary, "%s.%d-%lx", path, (int)getpid(),
             (unsigned long)pthread_self());
    int reason = text->failed ? ENOMEM : write_text(temporary, text);
    if (!reason && rename(temporary, path) != 0) reason = errno;
    if (!reason) return;
    unlink(temporary);
    complain(path, reason);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A page that is being written, on a stack that is deep enough for the passes. */
typedef struct PageWork {
    sn_compiled *compiled; /* of what */
    const char *file;      /* its name */
    StrBuf entry;          /* for the index */
} PageWork;

static void write_page(void *context) {
    PageWork *work = context;
    TraceNote latest = latest_get(&work->compiled->latest);
    sn_error error = {.size = sizeof error};
    StrBuf page = {0};
    const ReportOptions options = {.index = "index.html"};
    if (report_write(work->compiled, &latest, &options, &page, &error) != SN_OK) page.failed = true;
    put_file(work->file, &page);
    report_entry(work->compiled, &latest, work->file, &work->entry);
    instance_release(latest.instance);
    strbuf_free(&page);
}

static void update_page(Page *page, sn_compiled *c) {
    PageWork work = {.compiled = c, .file = page->file};
    deep_call(write_page, &work);
    char *entry = strbuf_take(&work.entry);
    lock_take(&lock);
    char *before = page->entry;
    page->entry = entry;
    lock_give(&lock);
    mem_free(before);
}

static void write_index(void) {
    StrBuf out = {0};
    html_open(&out, "compiled functions");
    strbuf_add(&out, "<h1>Compiled functions of ");
    html_escape(&out, program_invocation_short_name, SIZE_MAX);
    strbuf_addf(&out, "</h1>\n<p class=\"dim\">process %d, %d threads, %s</p>\n", (int)getpid(),
                (int)parallel_threads(), target_isa_name(target_host()->cpu.isa));
    lock_take(&lock);
    for (uint32_t i = 0; i < pages.count; i++)
        if (pages.data[i]->entry) strbuf_add(&out, pages.data[i]->entry);
    if (left_out) strbuf_addf(&out, "<p>%d more have no page.</p>\n", (int)left_out);
    lock_give(&lock);
    html_close(&out);
    put_file("index.html", &out);
    strbuf_free(&out);
}

/* ---- functions that come and go -------------------------------------------------------------- */

/* What of its name a file may be called, and a number where others have the same. */
static void name_page(Page *page, const char *name) {
    size_t length = 0;
    for (; name[length] && length < NAME_MOST; length++)
        page->stem[length] = isalnum((unsigned char)name[length]) ? name[length] : '_';
    page->number = 1 + (strcmp(page->stem, "index") == 0);
    for (uint32_t i = pages.count; i-- > 0;) {
        if (strcmp(pages.data[i]->stem, page->stem) != 0) continue;
        page->number = pages.data[i]->number + 1;
        break;
    }
    if (page->number == 1)
        snprintf(page->file, sizeof page->file, "%s.html", page->stem);
    else
        snprintf(page->file, sizeof page->file, "%s-%d.html", page->stem, (int)page->number);
}

static void add_page(sn_compiled *c) {
    Page *page = pages.count < PAGES_MOST ? mem_calloc(1, sizeof *page) : NULL;
    if (page) name_page(page, c->name);
    if (!page || !vec_push(&pages, page)) {
        mem_free(page);
        left_out++;
        return;
    }
    page->compiled = compiled_keep(c);
}

static void function_made(sn_compiled *c) {
    if (!*setting_text(SETTING_EXPLAIN)) return;
    lock_take(&lock);
    if (open_folder()) add_page(c);
    lock_give(&lock);
}

static void function_ended(sn_compiled *c) {
    Page *page = NULL;
    if (!*setting_text(SETTING_EXPLAIN)) return;
    lock_take(&lock);
    uint32_t count = pages.count;
    for (uint32_t i = 0; i < count && !page; i++)
        if (pages.data[i]->compiled == c) page = pages.data[i];
    if (page) page->compiled = NULL;
    lock_give(&lock);
    if (!page) return;
    update_page(page, c);
    if (count <= INDEX_MOST) write_index();
    compiled_unkeep(c);
}

const CompiledHooks pages_hooks = {function_made, function_ended};

__attribute__((constructor)) static void be_told(void) {
    compiled_hooks(&pages_hooks);
}

/* The page by its number, and its function with a reference, or NULL; false behind the last. */
static bool page_at(uint32_t number, Page **page, sn_compiled **c) {
    lock_take(&lock);
    bool there = number < pages.count;
    *page = there ? pages.data[number] : NULL;
    *c = there && (*page)->compiled ? compiled_keep((*page)->compiled) : NULL;
    lock_give(&lock);
    return there;
}

/* The exit, after all that the program does at it. Where a signal's handler called it while this thread
 * held a lock of ours, nothing can be asked any more. */
__attribute__((destructor)) static void write_pages(void) {
    Page *page;
    sn_compiled *c;
    if (base_thread.stays) return;
    log_hold(); /* the program's sink may be gone: what it was to be told is lost */
    uint32_t i = 0;
    for (; page_at(i, &page, &c); i++) {
        if (!c) continue;
        update_page(page, c);
        compiled_unkeep(c);
    }
    if (i) write_index();
}
