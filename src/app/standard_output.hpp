#pragma once

#include <string>
#include <string_view>

namespace dtbridge::app
{

/// Standard output for what may be long: large pieces, and an end of the reader is an end and no error.
class standard_output
{
public:
    /// From now on a closed pipe is an error of write and not the process's end.
    standard_output();
    /// False once the reader has gone; nothing is written any more then. Throws action_error where the disk
    /// is full or the like.
    bool write(std::string_view text);
    bool flush();

private:
    std::string buffer_;
    bool closed_ = false;
};

}  // namespace dtbridge::app
