#pragma once

/// The version's one place is project() in CMakeLists.txt; the build defines the macro.
#ifndef DTBRIDGE_VERSION
#error "the build defines DTBRIDGE_VERSION"
#endif
