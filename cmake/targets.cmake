# The three kinds of target: a layer of the library, a module, a folder of programs.

# Modules lie beside libsinter.so, in the build folder as when installed.
set(SINTER_MODULE_DIR ${PROJECT_BINARY_DIR}/lib)

set(SINTER_LAYERS "" CACHE INTERNAL "layers that have sources, lowest first")
set(SINTER_LAYERS_LINK "" CACHE INTERNAL "libraries of others that they need")

# sinter_layer(NAME [USES lower layers] [LINK libraries]): the static library sinter_NAME from the folder
# NAME and those in it, and the flag SINTER_HAS_NAME when there is something in it.
function(sinter_layer name)
    cmake_parse_arguments(arg "" "" "USES;LINK" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${name}/*.c)
    list(TRANSFORM arg_USES PREPEND sinter_)
    set(SINTER_LAYERS_LINK ${SINTER_LAYERS_LINK} ${arg_LINK} CACHE INTERNAL "")
    if(NOT sources)
        add_library(sinter_${name} INTERFACE)
        target_link_libraries(sinter_${name} INTERFACE ${arg_USES} ${arg_LINK})
        return()
    endif()
    add_library(sinter_${name} STATIC ${sources})
    target_link_libraries(sinter_${name} PRIVATE sinter_flags PUBLIC ${arg_USES} ${arg_LINK})
    set(SINTER_HAS_${name} TRUE PARENT_SCOPE)
    set(SINTER_LAYERS ${SINTER_LAYERS} sinter_${name} CACHE INTERNAL "")
endfunction()

# sinter_module(NAME SOURCES globs [LINK libraries]): lib/libsinter_NAME.so. A module has its own
# copy of base and ir and exports its entry, sinter_…, alone.
function(sinter_module name)
    cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${arg_SOURCES})
    if(NOT sources)
        return()
    endif()
    set(map ${PROJECT_SOURCE_DIR}/cmake/module.map)
    add_library(sinter_${name} MODULE ${sources})
    target_link_libraries(sinter_${name} PRIVATE sinter_flags ${arg_LINK} sinter_ir sinter_base)
    target_link_options(sinter_${name} PRIVATE
        -Wl,--version-script=${map} ${SINTER_SHARED_LINK_OPTIONS})
    set_target_properties(sinter_${name} PROPERTIES
        C_VISIBILITY_PRESET default
        LINK_DEPENDS ${map}
        LIBRARY_OUTPUT_DIRECTORY ${SINTER_MODULE_DIR})
    set_property(GLOBAL APPEND PROPERTY SINTER_MODULES sinter_${name})
endfunction()

# sinter_programs(FOLDER LINK libraries [EXCEPT files]): FOLDER/NAME.c becomes the program FOLDER/NAME of
# the build folder, but a source with a header of the same name beside it is shared by all of them. Programs
# that hold the library's code themselves find its modules by their run path. Returns the names in
# SINTER_PROGRAMS; the target of NAME is FOLDER_NAME.
function(sinter_programs folder)
    cmake_parse_arguments(arg "" "" "LINK;EXCEPT" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
    foreach(file IN LISTS arg_EXCEPT)
        list(REMOVE_ITEM sources ${PROJECT_SOURCE_DIR}/${file})
    endforeach()
    set(shared "")
    set(names "")
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM name)
        if(EXISTS ${PROJECT_SOURCE_DIR}/${folder}/${name}.h)
            list(APPEND shared ${source})
        else()
            list(APPEND names ${name})
        endif()
    endforeach()
    if(shared)
        add_library(${folder}_shared STATIC ${shared})
        target_link_libraries(${folder}_shared PRIVATE sinter_flags ${arg_LINK})
        sinter_needs_ops(${folder}_shared)
        list(PREPEND arg_LINK ${folder}_shared)
    endif()
    foreach(name IN LISTS names)
        set(target ${folder}_${name})
        add_executable(${target} ${folder}/${name}.c)
        set_target_properties(${target} PROPERTIES
            OUTPUT_NAME ${name}
            RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder}
            BUILD_RPATH ${SINTER_MODULE_DIR})
        target_link_libraries(${target} PRIVATE sinter_flags ${arg_LINK})
        sinter_needs_ops(${target})
    endforeach()
    set(SINTER_PROGRAMS ${names} PARENT_SCOPE)
endfunction()
