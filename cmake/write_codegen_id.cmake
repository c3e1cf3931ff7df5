# cmake -DROOT=folder -DFILES=a;b -DOUTPUT=header -P write_codegen_id.cmake: writes a header with a
# hash of the names and contents of FILES, which are relative to ROOT.
set(all "")
foreach(name IN LISTS FILES)
    file(SHA256 ${ROOT}/${name} hash)
    string(APPEND all "${name} ${hash}\n")
endforeach()
string(SHA256 id "${all}")
string(SUBSTRING ${id} 0 16 id)
file(WRITE ${OUTPUT}
    "/* Written by the build; see cmake/codegen_id.cmake. */\n#define SINTER_CODEGEN_ID \"${id}\"\n")
