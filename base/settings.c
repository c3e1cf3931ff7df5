/* Settings; see settings.h. */
#include "base/settings.h"

#include "base/assert.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const SettingInfo setting_info[SETTING_COUNT] = {
#define SETTING(id, variable, fallback, about) {variable, fallback},
#include "base/settings.def"
#undef SETTING
};

enum { SETTING_LENGTH = 512 };

static char values[SETTING_COUNT][SETTING_LENGTH];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void read_environment(void) {
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *text = getenv(setting_info[i].variable);
        snprintf(values[i], SETTING_LENGTH, "%s", text && *text ? text : setting_info[i].fallback);
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
