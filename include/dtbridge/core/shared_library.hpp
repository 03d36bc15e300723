#pragma once

/// Libraries that only some installations need (librdkafka, libpq): found when a configuration asks for them,
/// so that the program starts without. Functions are taken by the types of the library's own header.

#include <string>

#include <dtbridge/core/failure.hpp>

namespace dtbridge
{

/// A library, loaded; its code stays to the end of the process.
class shared_library
{
public:
    /// file: as the dynamic linker looks for it ("librdkafka.so.1"). package: what an operator installs for
    /// it, named by the failure (errc::not_found).
    static outcome<shared_library> open(const std::string& file, const std::string& package);
    ~shared_library();
    shared_library(shared_library&& other) noexcept;
    shared_library& operator=(shared_library&& other) noexcept;

    /// Sets f to the function of that name. False where the library lacks it: too old, usually.
    template <class Function>
    bool find(const char* name, Function*& f) const
    {
        // POSIX guarantees that what dlsym answers is a function's address.
        f = reinterpret_cast<Function*>(address(name));
        return f != nullptr;
    }

private:
    explicit shared_library(void* handle) : handle_(handle) {}
    void* address(const char* name) const;
    void* handle_;
};

}  // namespace dtbridge
