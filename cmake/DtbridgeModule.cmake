# dtbridge_module(name SOURCES a.cpp .. [PUBLIC libs..] [PRIVATE libs..]): one folder of src/ as one static library.
function(dtbridge_module name)
    cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    add_library(dtbridge_${name} STATIC ${arg_SOURCES})
    target_include_directories(dtbridge_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(dtbridge_${name} PUBLIC ${arg_PUBLIC} PRIVATE dtbridge_options ${arg_PRIVATE})
endfunction()

# dtbridge_test(name SOURCES a.cpp .. LIBS dtbridge_core ..): one Boost.Test program, named unit-<name>.
function(dtbridge_test name)
    cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(unit-${name} ${PROJECT_SOURCE_DIR}/tests/support/unit_main.cpp ${arg_SOURCES})
    target_include_directories(unit-${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(unit-${name} PRIVATE ${arg_LIBS} Boost::unit_test_framework dtbridge_options)
    target_compile_definitions(unit-${name} PRIVATE
        DTBRIDGE_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" DTBRIDGE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    # What is tested may be optimised; the tests themselves need not be, and building them would take longer than the rest.
    target_compile_options(unit-${name} PRIVATE -O0 -U_FORTIFY_SOURCE)
    add_test(NAME unit-${name} COMMAND unit-${name} --catch_system_errors=no --color_output=no)
    set_tests_properties(unit-${name} PROPERTIES LABELS unit TIMEOUT 900)
endfunction()

# dtbridge_embed(target symbol_header_namespace FILES a b ..): compiles data files into a target. Generates a .cpp that defines
#   std::span<const std::pair<std::string_view, std::string_view>> <namespace>::embedded_files();
# whose first members are the names relative to BASE. Declare it by hand where it is used.
function(dtbridge_embed target namespace base)
    cmake_parse_arguments(arg "" "" "FILES" ${ARGN})
    string(REPLACE "::" "_" stem ${namespace})
    set(out ${CMAKE_CURRENT_BINARY_DIR}/embedded_${stem}.cpp)
    set(paths)
    foreach(f ${arg_FILES})
        list(APPEND paths ${base}/${f})
    endforeach()
    string(REPLACE ";" "|" joined "${arg_FILES}")
    add_custom_command(OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DBASE=${base} "-DFILES=${joined}" -DNAMESPACE=${namespace}
                -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
        DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
    target_sources(${target} PRIVATE ${out})
endfunction()
