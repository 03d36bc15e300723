#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace dtbridge::app
{

/// One line on standard error that says how far long work has come, written over itself; silent where
/// standard error is no terminal (product.md 7). The line is gone when this ends.
class progress_view
{
public:
    progress_view();
    ~progress_view();
    progress_view(const progress_view&) = delete;
    progress_view& operator=(const progress_view&) = delete;
    /// At most ten times a second; what comes between is passed over.
    void show(const std::string& line);
    /// Takes the line away, before something else is written.
    void clear();
    bool visible() const { return terminal_; }

private:
    bool terminal_ = false;
    std::size_t width_ = 0;   ///< of what stands there
    std::int64_t shown_ = 0;  ///< when, ms
};

}  // namespace dtbridge::app
