#include <dtbridge/core/shared_library.hpp>

#include <dlfcn.h>

#include <utility>

namespace dtbridge
{

outcome<shared_library> shared_library::open(const std::string& file, const std::string& package)
{
    // At once and for itself: a library that lacks something of its own fails here and not in the middle of a
    // call, and its names meet nobody else's. It stays where it is to the end of the process: libraries leave
    // with others what points into them (libpq a BIO_METHOD with OpenSSL).
    if (void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE))
        return shared_library(handle);
    const char* why = dlerror();
    return fail(errc::not_found,
                file + " cannot be loaded" + (why ? " (" + std::string(why) + ")" : std::string()) +
                    ": install the package " + package);
}

shared_library::~shared_library()
{
    if (handle_)
        dlclose(handle_);
}

shared_library::shared_library(shared_library&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr))
{}

shared_library& shared_library::operator=(shared_library&& other) noexcept
{
    std::swap(handle_, other.handle_);
    return *this;
}

void* shared_library::address(const char* name) const
{
    return handle_ ? dlsym(handle_, name) : nullptr;
}

}  // namespace dtbridge
