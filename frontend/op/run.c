/* Errors in data, as kernels note them; see run.h. */
#include "frontend/op/run.h"

#include "base/status.h"

sn_status data_error(const Executable *executable, uint64_t code, sn_error *error, Site *site) {
    const Program *program = executable_program(executable);
    for (uint32_t i = 0; i < program->checks.count; i++) {
        const ProgramCheck *check = &program->checks.data[i];
        if (check->code != code) continue;
        if (check->site < program->sites.count) *site = program->sites.data[check->site];
        return error_set(
            error, SN_ERROR_INDEX, "%s: an index is out of range for an axis of size %lld",
            op_info[check->op].name, (long long)executable_numbers(executable)[check->limit]);
    }
    return error_set(error, SN_ERROR_INDEX, "an index is out of range");
}
