# Compiler, warnings, sanitizers and the third-party libraries, once for every module.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

set(DTBRIDGE_SANITIZE "" CACHE STRING "Value of -fsanitize=, e.g. address,undefined")
option(DTBRIDGE_FUZZ "Build the libFuzzer targets (clang only)" OFF)

add_library(dtbridge_options INTERFACE)
target_compile_options(dtbridge_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # False alarms from inside Boost's coroutine frames with g++ 12.
    target_compile_options(dtbridge_options INTERFACE
        -Wno-maybe-uninitialized -Wno-mismatched-new-delete -Wno-tsan)
    if(CMAKE_UNITY_BUILD)
        # Where several sources are compiled as one, g++ takes a source's anonymous namespace for a header's.
        target_compile_options(dtbridge_options INTERFACE -Wno-subobject-linkage)
    endif()
elseif(CMAKE_UNITY_BUILD)
    # And clang warns of names that another source of the folder has in its anonymous namespace.
    target_compile_options(dtbridge_options INTERFACE -Wno-shadow)
endif()
if(DTBRIDGE_SANITIZE)
    add_compile_options(-fsanitize=${DTBRIDGE_SANITIZE} -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${DTBRIDGE_SANITIZE})
    if(DTBRIDGE_SANITIZE MATCHES "undefined")
        add_compile_options(-fno-sanitize-recover=all)
    endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    add_compile_options(-fstack-protector-strong -fstack-clash-protection)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
        add_compile_options(-fcf-protection)
    elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
        add_compile_options(-mbranch-protection=standard)
    endif()
    add_compile_definitions(_FORTIFY_SOURCE=2)
    add_link_options(-pie -Wl,-z,relro,-z,now -Wl,--as-needed)
    # The same object wherever it was compiled, with paths relative to the sources; "../.." is how ccache hands them over. The last one that
    # fits is taken. Where debuggers are to find the sources, start them in the folder of the sources.
    add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -ffile-prefix-map=../..=.
                        -ffile-prefix-map=${PROJECT_BINARY_DIR}=. -ffile-prefix-map=${PROJECT_BINARY_DIR}/=)
endif()

# Boost and SQLite are linked statically, so that one binary runs on every supported distribution.
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 CONFIG REQUIRED COMPONENTS json program_options url unit_test_framework)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
# Its header alone: the library is loaded when a destination asks for it.
find_path(RDKAFKA_INCLUDE librdkafka/rdkafka.h REQUIRED)
find_library(SQLITE_STATIC NAMES libsqlite3.a REQUIRED)
find_library(ZSTD_STATIC NAMES libzstd.a REQUIRED)
find_library(ZLIB_STATIC NAMES libz.a REQUIRED)

add_library(dtbridge_sqlite INTERFACE)
target_link_libraries(dtbridge_sqlite INTERFACE ${SQLITE_STATIC} Threads::Threads ${CMAKE_DL_LIBS} m)
add_library(dtbridge_zstd INTERFACE)
target_link_libraries(dtbridge_zstd INTERFACE ${ZSTD_STATIC})
add_library(dtbridge_zlib INTERFACE)
target_link_libraries(dtbridge_zlib INTERFACE ${ZLIB_STATIC})

# Asio and Beast are compiled once, here.
add_library(dtbridge_boost STATIC ${PROJECT_SOURCE_DIR}/cmake/boost_asio.cpp ${PROJECT_SOURCE_DIR}/cmake/boost_beast.cpp)
target_compile_definitions(dtbridge_boost PUBLIC
    BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(dtbridge_boost PUBLIC Boost::headers OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(dtbridge_boost PRIVATE -Wno-maybe-uninitialized -Wno-mismatched-new-delete -Wno-tsan)
endif()
