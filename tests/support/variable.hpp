#pragma once

/// An environment variable while a test runs.

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace dtbridge::test
{

class variable
{
public:
    variable(std::string name, const std::string& value) : name_(std::move(name))
    {
        if (const char* const before = std::getenv(name_.c_str()))
            before_ = before;
        ::setenv(name_.c_str(), value.c_str(), 1);
    }
    ~variable()
    {
        if (before_)
            ::setenv(name_.c_str(), before_->c_str(), 1);
        else
            ::unsetenv(name_.c_str());
    }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;

private:
    std::string name_;
    std::optional<std::string> before_;
};

}  // namespace dtbridge::test
