/* The table of settings (environment variables), read once. */
#ifndef SN_BASE_SETTINGS_H
#define SN_BASE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum SettingId {
#define SETTING(id, variable, fallback, about) SETTING_##id,
#include "base/settings.def"
#undef SETTING
    SETTING_COUNT
} SettingId;

typedef struct SettingInfo {
    const char *variable; /* name of the environment variable */
    const char *fallback; /* value when it is unset or empty */
} SettingInfo;

extern const SettingInfo setting_info[SETTING_COUNT];

/* Text of a setting; never NULL. The environment is read at the first call only. */
const char *setting_text(SettingId id);
/* Value as a number; `fallback` when the text is empty or no number. */
int64_t setting_int(SettingId id, int64_t fallback);
/* True when the comma-separated list in the setting holds `name` (or "all"). */
bool setting_lists(SettingId id, const char *name);
/* Overrides a setting for this process (the sn_set_… functions and tests). `text` is copied and
 * cut at 511 bytes. */
void setting_set(SettingId id, const char *text);

#endif
