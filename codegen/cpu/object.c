/* Reads a relocatable ELF object in memory and flattens it: allocated sections one behind the other,
 * relocations between them applied. All of them must be relative and inside the object, so the
 * result needs no loader and a cached kernel calls no outside symbol. Nothing in the object is
 * trusted: offsets are checked against its size. */
#include "codegen/cpu/object.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/status.h"

#include <elf.h>
#include <string.h>

enum { BLOB_ALIGN = 64 };

typedef struct Object {
    const uint8_t *bytes;       /* the file */
    size_t size;                /* its length */
    const Elf64_Shdr *sections; /* headers */
    uint32_t n_sections;        /* how many */
    const Elf64_Sym *symbols;   /* the symbol table */
    uint64_t n_symbols;         /* how many */
    const char *names;          /* symbol names */
    uint64_t names_size;        /* bytes of names */
    uint64_t *places;           /* by section: offset in the blob; UINT64_MAX when left out */
    CodeBlob *blob;             /* the result */
    sn_error *error;            /* where errors go */
} Object;

static sn_status malformed(const Object *o) {
    return error_set(o->error, SN_ERROR_COMPILE, "the code generator's object file is malformed");
}

/* `count` records of `each` bytes at `offset`, or NULL when they are not all in the file. */
static const void *records(const Object *o, uint64_t offset, uint64_t count, uint64_t each) {
    if (offset > o->size || count > (o->size - offset) / each || offset % 8) return NULL;
    return o->bytes + offset;
}

static const char *symbol_name(const Object *o, const Elf64_Sym *symbol) {
    if (symbol->st_name >= o->names_size) return "?";
    const char *name = o->names + symbol->st_name;
    return memchr(name, 0, o->names_size - symbol->st_name) ? name : "?";
}

static sn_status read_headers(Object *o) {
    const Elf64_Ehdr *header = records(o, 0, 1, sizeof *header);
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64 ||
        header->e_shentsize != sizeof(Elf64_Shdr))
        return malformed(o);
    o->n_sections = header->e_shnum;
    o->sections = records(o, header->e_shoff, o->n_sections, sizeof *o->sections);
    if (!o->sections) return malformed(o);
    for (uint32_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_SYMTAB) continue;
        if (s->sh_link >= o->n_sections) return malformed(o);
        const Elf64_Shdr *names = &o->sections[s->sh_link];
        if (names->sh_offset > o->size || names->sh_size > o->size - names->sh_offset)
            return malformed(o);
        o->n_symbols = s->sh_size / sizeof *o->symbols;
        o->symbols = records(o, s->sh_offset, o->n_symbols, sizeof *o->symbols);
        o->names = (const char *)o->bytes + names->sh_offset;
        o->names_size = names->sh_size;
    }
    return o->symbols ? SN_OK : malformed(o);
}

/* Sections that the code needs at run time. */
static bool is_loaded(const Elf64_Shdr *section) {
    return section->sh_flags & SHF_ALLOC && section->sh_type == SHT_PROGBITS && section->sh_size;
}

static sn_status check_section(const Object *o, const Elf64_Shdr *s) {
    bool power = s->sh_addralign && !(s->sh_addralign & (s->sh_addralign - 1));
    if (!power || s->sh_addralign > 4096) return malformed(o);
    if (s->sh_offset > o->size || s->sh_size > o->size - s->sh_offset) return malformed(o);
    if (s->sh_flags & SHF_WRITE)
        return error_set(o->error, SN_ERROR_COMPILE, "a kernel has no writable data of its own");
    if (s->sh_addralign > BLOB_ALIGN)
        return error_set(o->error, SN_ERROR_COMPILE, "a section wants more than 64-byte alignment");
    return SN_OK;
}

/* Gives every loaded section its place, and copies them. */
static sn_status lay_out(Object *o) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        o->places[i] = UINT64_MAX;
        if (!is_loaded(s)) continue;
        sn_status status = check_section(o, s);
        if (status != SN_OK) return status;
        at = (at + s->sh_addralign - 1) & ~(s->sh_addralign - 1);
        o->places[i] = at;
        at += s->sh_size;
    }
    size_t size = (size_t)((at + BLOB_ALIGN - 1) & ~(uint64_t)(BLOB_ALIGN - 1));
    o->blob->bytes = mem_calloc(size, 1);
    if (!o->blob->bytes) return error_memory(o->error);
    o->blob->size = size;
    for (uint32_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (o->places[i] != UINT64_MAX)
            memcpy(o->blob->bytes + o->places[i], o->bytes + s->sh_offset, (size_t)s->sh_size);
    }
    return SN_OK;
}

/* Offset of a symbol in the blob. */
static sn_status locate(const Object *o, uint64_t number, uint64_t *offset) {
    if (number >= o->n_symbols) return malformed(o);
    const Elf64_Sym *symbol = &o->symbols[number];
    if (symbol->st_shndx == SHN_UNDEF)
        return error_set(o->error, SN_ERROR_COMPILE,
                         "a cached kernel calls no outside symbol, but this one needs %s",
                         symbol_name(o, symbol));
    if (symbol->st_shndx >= o->n_sections || o->places[symbol->st_shndx] == UINT64_MAX)
        return malformed(o);
    if (symbol->st_value > o->sections[symbol->st_shndx].sh_size) return malformed(o);
    *offset = o->places[symbol->st_shndx] + symbol->st_value;
    return SN_OK;
}

static sn_status apply(const Object *o, uint64_t section, const Elf64_Rela *rela) {
    uint64_t target = 0;
    uint64_t type = ELF64_R_TYPE(rela->r_info);
    uint64_t bytes = type == R_X86_64_PC64 ? 8 : 4;
    uint64_t section_size = o->sections[section].sh_size;
    sn_status status = locate(o, ELF64_R_SYM(rela->r_info), &target);
    if (status != SN_OK) return status;
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32 && type != R_X86_64_PC64)
        return error_set(o->error, SN_ERROR_COMPILE, "a relocation of unknown kind %u",
                         (unsigned)type);
    if (rela->r_offset > section_size || bytes > section_size - rela->r_offset) return malformed(o);
    SN_ASSERT(section < o->n_sections && o->places[section] != UINT64_MAX);
    uint64_t place = o->places[section] + rela->r_offset;
    SN_ASSERT(place + (uint64_t)bytes <= o->blob->size);
    int64_t value = (int64_t)(target + (uint64_t)rela->r_addend - place);
    if (bytes == 4 && value != (int32_t)value) return malformed(o);
    memcpy(o->blob->bytes + place, &value, (size_t)bytes); /* little-endian */
    return SN_OK;
}

static sn_status relocate(const Object *o) {
    for (uint32_t i = 0; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->sections[i];
        if (s->sh_type != SHT_RELA) continue;
        if (s->sh_info >= o->n_sections) return malformed(o);
        if (o->places[s->sh_info] == UINT64_MAX) continue;
        uint64_t count = s->sh_size / sizeof(Elf64_Rela);
        const Elf64_Rela *relas = records(o, s->sh_offset, count, sizeof *relas);
        if (!relas) return malformed(o);
        for (uint64_t r = 0; r < count; r++) {
            sn_status status = apply(o, s->sh_info, &relas[r]);
            if (status != SN_OK) return status;
        }
    }
    return SN_OK;
}

static sn_status find_entry(const Object *o, const char *name) {
    for (uint64_t i = 0; i < o->n_symbols; i++) {
        const Elf64_Sym *symbol = &o->symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC) continue;
        if (strcmp(symbol_name(o, symbol), name) != 0) continue;
        uint64_t offset = 0;
        sn_status status = locate(o, i, &offset);
        if (status == SN_OK && offset >= o->blob->size) status = malformed(o);
        if (status == SN_OK) o->blob->entry = (size_t)offset;
        return status;
    }
    return error_set(o->error, SN_ERROR_COMPILE, "the object file lacks the kernel's function");
}

sn_status object_flatten(const uint8_t *object, size_t size, const char *name, CodeBlob *blob,
                         sn_error *error) {
    Object o = {.bytes = object, .size = size, .blob = blob, .error = error};
    *blob = (CodeBlob){0};
    sn_status status = read_headers(&o);
    if (status != SN_OK) return status;
    o.places = mem_calloc(o.n_sections, sizeof *o.places);
    if (!o.places) return error_memory(error);
    status = lay_out(&o);
    if (status == SN_OK) status = relocate(&o);
    if (status == SN_OK) status = find_entry(&o, name);
    mem_free(o.places);
    if (status != SN_OK) {
        mem_free(blob->bytes);
        *blob = (CodeBlob){0};
    }
    return status;
}
