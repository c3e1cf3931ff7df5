# cmake --install: headers, library, modules, tool, pkg-config file, CMake package. All of it may be
# moved after installation.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sinter)

install(TARGETS sinter EXPORT sinter_targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} NAMELINK_COMPONENT development)
install(DIRECTORY include/sinter DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(FILES ${SINTER_OPS_HEADER} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sinter)
get_property(modules GLOBAL PROPERTY SINTER_MODULES)
if(modules)
    install(TARGETS ${modules} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET sinter_tool)
    file(RELATIVE_PATH to_lib /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
    set_target_properties(sinter_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
    install(TARGETS sinter_tool DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(EXPORT sinter_targets NAMESPACE sinter:: DESTINATION ${package_dir})
configure_package_config_file(cmake/sinterConfig.cmake.in
    ${PROJECT_BINARY_DIR}/generated/sinterConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/sinterConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES
    ${PROJECT_BINARY_DIR}/generated/sinterConfig.cmake
    ${PROJECT_BINARY_DIR}/generated/sinterConfigVersion.cmake
    DESTINATION ${package_dir})

file(RELATIVE_PATH SINTER_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/sinter.pc.in ${PROJECT_BINARY_DIR}/generated/sinter.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/sinter.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
