/* Flattening of ELF objects: layout, relocations, and refusal of everything that is not whole or not
 * inside the object. The objects are made by hand, so LLVM is not needed. */
#include "codegen/cpu/object.c" /* internal to the CPU module, which exports its table only */

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NULL_SECTION, TEXT, RODATA, RELA, SYMTAB, STRTAB, SECTIONS };
enum { SYM_NULL, SYM_KERNEL, SYM_RODATA, SYM_OUTSIDE, SYMBOLS };

/* An object file: a function that reads a constant. */
typedef struct File {
    Elf64_Ehdr header;             /* at 0 */
    Elf64_Shdr sections[SECTIONS]; /* headers */
    uint8_t text[24];              /* code; a relative address at 4 */
    uint8_t rodata[16];            /* constants */
    Elf64_Rela rela;               /* text + 4 → rodata + 8 */
    Elf64_Sym symbols[SYMBOLS];    /* the symbol table */
    char names[32];                /* "\0kernel\0outside\0" */
} File;

static void place(File *f, int section, uint32_t type, const void *at, size_t size) {
    f->sections[section].sh_type = type;
    f->sections[section].sh_offset = (size_t)((const char *)at - (const char *)f);
    f->sections[section].sh_size = size;
    f->sections[section].sh_addralign = 8;
}

static File make_file(void) {
    File f;
    memset(&f, 0, sizeof f);
    memcpy(f.header.e_ident, ELFMAG, SELFMAG);
    f.header.e_ident[EI_CLASS] = ELFCLASS64;
    f.header.e_machine = EM_X86_64;
    f.header.e_shentsize = sizeof(Elf64_Shdr);
    f.header.e_shnum = SECTIONS;
    f.header.e_shoff = offsetof(File, sections);
    for (uint8_t i = 0; i < sizeof f.text; i++) f.text[i] = i;
    for (uint8_t i = 0; i < sizeof f.rodata; i++) f.rodata[i] = (uint8_t)(0xa0 + i);
    memcpy(f.names, "\0kernel\0outside", 16);
    place(&f, TEXT, SHT_PROGBITS, f.text, sizeof f.text);
    place(&f, RODATA, SHT_PROGBITS, f.rodata, sizeof f.rodata);
    place(&f, RELA, SHT_RELA, &f.rela, sizeof f.rela);
    place(&f, SYMTAB, SHT_SYMTAB, f.symbols, sizeof f.symbols);
    place(&f, STRTAB, SHT_STRTAB, f.names, sizeof f.names);
    f.sections[TEXT].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    f.sections[RODATA].sh_flags = SHF_ALLOC;
    f.sections[RODATA].sh_addralign = 32;
    f.sections[RELA].sh_info = TEXT;
    f.sections[RELA].sh_link = SYMTAB;
    f.sections[SYMTAB].sh_link = STRTAB;
    f.symbols[SYM_KERNEL] = (Elf64_Sym){.st_name = 1, .st_shndx = TEXT, .st_value = 2};
    f.symbols[SYM_KERNEL].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    f.symbols[SYM_RODATA].st_shndx = RODATA;
    f.symbols[SYM_OUTSIDE] = (Elf64_Sym){.st_name = 8, .st_shndx = SHN_UNDEF};
    f.rela.r_offset = 4;
    f.rela.r_info = ELF64_R_INFO((uint64_t)SYM_RODATA, R_X86_64_PC32);
    f.rela.r_addend = 8 - 4;
    return f;
}

static sn_status flatten(const File *f, CodeBlob *blob, sn_error *error) {
    *error = (sn_error){0};
    return object_flatten((const uint8_t *)f, sizeof *f, "kernel", blob, error);
}

static void refuse(const File *f, const char *text) {
    CodeBlob blob;
    sn_error error;
    assert_int_equal(flatten(f, &blob, &error), SN_ERROR_COMPILE);
    assert_non_null(strstr(error.text, text));
    assert_null(blob.bytes);
}

static void test_sections_lie_aligned_one_behind_the_other(void **state) {
    (void)state;
    File f = make_file();
    CodeBlob blob;
    sn_error error;
    assert_int_equal(flatten(&f, &blob, &error), SN_OK);
    assert_int_equal(blob.size, 64);
    assert_int_equal(blob.entry, 2);
    assert_memory_equal(blob.bytes, f.text, 4);
    assert_memory_equal(blob.bytes + 8, f.text + 8, sizeof f.text - 8);
    assert_memory_equal(blob.bytes + 32, f.rodata, sizeof f.rodata);
    for (size_t i = 48; i < 64; i++) assert_int_equal(blob.bytes[i], 0);
    mem_free(blob.bytes);
}

static void test_relative_relocations_reach_their_target(void **state) {
    (void)state;
    static const uint32_t kinds[] = {R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_PC64};
    for (int k = 0; k < 3; k++) {
        File f = make_file();
        CodeBlob blob;
        sn_error error;
        int64_t offset = 0;
        f.rela.r_info = ELF64_R_INFO((uint64_t)SYM_RODATA, kinds[k]);
        assert_int_equal(flatten(&f, &blob, &error), SN_OK);
        memcpy(&offset, blob.bytes + 4, k == 2 ? 8 : 4);
        assert_int_equal(4 + offset, 32 + 8 - 4);
        mem_free(blob.bytes);
    }
}

static void test_outside_symbols_are_refused_by_name(void **state) {
    (void)state;
    File f = make_file();
    f.rela.r_info = ELF64_R_INFO((uint64_t)SYM_OUTSIDE, R_X86_64_PLT32);
    refuse(&f, "a cached kernel calls no outside symbol, but this one needs outside");
}

static void test_absolute_relocations_are_refused(void **state) {
    (void)state;
    File f = make_file();
    f.rela.r_info = ELF64_R_INFO((uint64_t)SYM_RODATA, R_X86_64_64);
    refuse(&f, "relocation of unknown kind");
}

static void test_writable_data_is_refused(void **state) {
    (void)state;
    File f = make_file();
    f.sections[RODATA].sh_flags |= SHF_WRITE;
    refuse(&f, "writable");
}

static void test_a_missing_function_is_named(void **state) {
    (void)state;
    File f = make_file();
    f.names[1] = 'K';
    refuse(&f, "lacks the kernel's function");
}

static void test_records_out_of_bounds_are_refused(void **state) {
    (void)state;
    File f = make_file();
    f.rela.r_offset = sizeof f.text - 3;
    refuse(&f, "malformed");
    f = make_file();
    f.sections[TEXT].sh_size = sizeof f;
    refuse(&f, "malformed");
    f = make_file();
    f.symbols[SYM_RODATA].st_shndx = SECTIONS;
    refuse(&f, "malformed");
    f = make_file();
    f.header.e_shoff = sizeof f;
    refuse(&f, "malformed");
    f = make_file();
    f.sections[RODATA].sh_addralign = 3;
    refuse(&f, "malformed");
}

/* Whatever a byte is changed to, nothing outside the file is read (run under a sanitizer). */
static void test_damaged_objects_never_crash(void **state) {
    (void)state;
    File whole = make_file();
    for (size_t at = 0; at < sizeof whole; at++) {
        for (int value = 0; value < 256; value += 15) {
            File f = whole;
            CodeBlob blob;
            sn_error error;
            ((uint8_t *)&f)[at] = (uint8_t)value;
            if (flatten(&f, &blob, &error) == SN_OK) {
                assert_true(blob.entry < blob.size);
                mem_free(blob.bytes);
            } else {
                assert_null(blob.bytes);
            }
        }
    }
    for (size_t size = 0; size < sizeof whole; size += 8) {
        CodeBlob blob;
        sn_error error = {0};
        assert_int_not_equal(object_flatten((const uint8_t *)&whole, size, "kernel", &blob, &error),
                             SN_OK);
    }
}

static void test_failed_allocations_are_reported(void **state) {
    (void)state;
    File f = make_file();
    for (int64_t n = 1; n <= 2; n++) {
        CodeBlob blob;
        sn_error error;
        int64_t live = mem_live_count();
        mem_fail_after(n, false);
        assert_int_equal(flatten(&f, &blob, &error), SN_ERROR_MEMORY);
        mem_fail_after(0, false);
        assert_int_equal(mem_live_count(), live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections_lie_aligned_one_behind_the_other),
        cmocka_unit_test(test_relative_relocations_reach_their_target),
        cmocka_unit_test(test_outside_symbols_are_refused_by_name),
        cmocka_unit_test(test_absolute_relocations_are_refused),
        cmocka_unit_test(test_writable_data_is_refused),
        cmocka_unit_test(test_a_missing_function_is_named),
        cmocka_unit_test(test_records_out_of_bounds_are_refused),
        cmocka_unit_test(test_damaged_objects_never_crash),
        cmocka_unit_test(test_failed_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
