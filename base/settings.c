/* Settings; see settings.h. */
#include "base/settings.h"

#include "base/assert.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

const SettingInfo setting_info[SETTING_COUNT] = {
#define SETTING(id, variable, fallback, takes, words, about)                                       \
    {variable, fallback, SETTING_##takes, words},
#include "base/settings.def"
#undef SETTING
};

enum { SETTING_LENGTH = PATH_MAX };

static char values[SETTING_COUNT][SETTING_LENGTH];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- what is wrong --------------------------------------------------------------------------- */

/* Is an item among words with commas between them? */
static bool is_word(const char *item, size_t length, const char *words) {
    for (; *words; words += strcspn(words, ","), words += *words == ',')
        if (strcspn(words, ",") == length && memcmp(words, item, length) == 0) return true;
    return false;
}

static bool is_number(const char *text, int64_t least) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return end != text && !*end && !errno && value >= least;
}

/* The first item of a list that is none of the words, and its length; NULL: all are. */
static const char *find_wrong(const char *text, const char *words, size_t *length) {
    for (; *text; text += *length, text += *text == ',') {
        *length = strcspn(text, ",");
        if (*length && !is_word(text, *length, words)) return text;
    }
    return NULL;
}

const char *setting_fault(SettingId id, const char *text, char *buffer, size_t bytes) {
    SN_ASSERT((uint32_t)id < SETTING_COUNT);
    const SettingInfo *info = &setting_info[id];
    size_t length = strlen(text);
    const char *wrong = text;
    if (length >= SETTING_LENGTH)
        snprintf(buffer, bytes, "%s has %zu bytes; %d are allowed", info->variable, length,
                 SETTING_LENGTH - 1);
    else if (info->kind == SETTING_NUMBER && !is_number(text, strtoll(info->words, NULL, 10)))
        snprintf(buffer, bytes, "%s is \"%.80s\"; it takes a number of %s or more", info->variable,
                 text, info->words);
    else if (info->kind == SETTING_WORD && !is_word(text, length, info->words))
        snprintf(buffer, bytes, "%s is \"%.80s\"; it takes one of %s", info->variable, text,
                 info->words);
    else if (info->kind == SETTING_LIST && (wrong = find_wrong(text, info->words, &length)))
        snprintf(buffer, bytes, "%s has \"%.*s\"; it takes %s", info->variable,
                 (int)(length < 80 ? length : 80), wrong, info->words);
    else
        return NULL;
    return buffer;
}

static const char prefix[] = "SINTER_";
enum { PREFIX = sizeof prefix - 1, SAME_LEAST = 3 };

/* Is one a slip of the other: a letter that is wrong, missing or too many, or two that are? */
static bool is_slip(const char *name, size_t length, const char *of) {
    size_t same = 0, end = 0, count = strlen(of);
    while (same < length && same < count && name[same] == of[same]) same++;
    while (end < length - same && end < count - same &&
           name[length - 1 - end] == of[count - 1 - end])
        end++;
    return length - same - end <= 2 && count - same - end <= 2 && same + end >= PREFIX + SAME_LEAST;
}

const char *setting_meant(const char *name) {
    size_t length = strcspn(name, "=");
    const char *meant = NULL;
    if (strncmp(name, prefix, PREFIX) != 0) return NULL;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *known = setting_info[i].variable;
        if (strlen(known) == length && memcmp(known, name, length) == 0) return NULL;
        if (is_slip(name, length, known)) meant = known;
    }
    return meant;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A list's words stand though another is wrong. */
static void read_setting(SettingId id) {
    char fault[512];
    const SettingInfo *info = &setting_info[id];
    const char *text = secure_getenv(info->variable);
    if (text && *text && setting_fault(id, text, fault, sizeof fault)) {
        fprintf(stderr, "sinter: %s\n", fault);
        if (info->kind != SETTING_LIST || strlen(text) >= SETTING_LENGTH) text = NULL;
    }
    snprintf(values[id], SETTING_LENGTH, "%s", text && *text ? text : info->fallback);
}

static void read_environment(void) {
    for (int i = 0; i < SETTING_COUNT; i++) read_setting((SettingId)i);
    for (char **at = getauxval(AT_SECURE) ? NULL : environ; at && *at; at++) {
        const char *meant = setting_meant(*at);
        if (!meant) continue;
        fprintf(stderr, "sinter: %.*s is no setting; is it to be %s?\n", (int)strcspn(*at, "="),
                *at, meant);
    }
}

const char *setting_text(SettingId id) {
    SN_ASSERT((uint32_t)id < SETTING_COUNT);
    pthread_once(&once, read_environment);
    return values[id];
}

int64_t setting_int(SettingId id, int64_t fallback) {
    const char *text = setting_text(id);
    char *end;
    long long value = strtoll(text, &end, 10);
    return end == text || *end ? fallback : (int64_t)value;
}

bool setting_lists(SettingId id, const char *name) {
    const char *text = setting_text(id);
    size_t length = strlen(name);
    while (*text) {
        size_t item = strcspn(text, ",");
        if ((item == length && memcmp(text, name, length) == 0) ||
            (item == 3 && memcmp(text, "all", 3) == 0))
            return true;
        text += item;
        if (*text) text++;
    }
    return false;
}

void setting_set(SettingId id, const char *text) {
    SN_ASSERT((uint32_t)id < SETTING_COUNT);
    pthread_once(&once, read_environment);
    snprintf(values[id], SETTING_LENGTH, "%s", text);
}
