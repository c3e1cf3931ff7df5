/* The table of settings (environment variables), read once. */
#ifndef SN_BASE_SETTINGS_H
#define SN_BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SettingId {
#define SETTING(id, variable, fallback, takes, words, about) SETTING_##id,
#include "base/settings.def"
#undef SETTING
    SETTING_COUNT
} SettingId;

typedef enum SettingKind { SETTING_TEXT, SETTING_NUMBER, SETTING_WORD, SETTING_LIST } SettingKind;

typedef struct SettingInfo {
    const char *variable; /* name of the environment variable */
    const char *fallback; /* value when it is unset, empty, or none of those that it takes */
    SettingKind kind;     /* what it takes … */
    const char *words;    /* … the words, with commas between them; of a number, the least */
} SettingInfo;

extern const SettingInfo setting_info[SETTING_COUNT];

/* Text of a setting; never NULL. The environment is read at the first call only; what is wrong in it is
 * told on standard error then. A program with more rights than its caller's has no environment. */
const char *setting_text(SettingId id);
/* Value as a number; `fallback` when the text is empty or no number. */
int64_t setting_int(SettingId id, int64_t fallback);
/* True when the comma-separated list in the setting holds `name` (or "all"). */
bool setting_lists(SettingId id, const char *name);
/* Overrides a setting for this process (the sn_set_… functions and tests). `text` is copied; one
 * that is longer than any path is cut. */
void setting_set(SettingId id, const char *text);
/* What is wrong with a value, as a sentence; NULL: nothing. */
const char *setting_fault(SettingId id, const char *text, char *buffer, size_t bytes);
/* The setting that a variable's name is a slip of; NULL: it is one, or like none. */
const char *setting_meant(const char *name);

#endif
