#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace dtbridge::format
{

/// Bytes on their way into a message. Like a std::string, but appending a few bytes is a few inlined
/// instructions and the memory stays from message to message.
class sink
{
public:
    std::size_t size() const { return size_; }
    char back() const { return size_ == 0 ? '\0' : bytes_[size_ - 1]; }
    char operator[](std::size_t i) const { return bytes_[i]; }
    std::string_view view() const { return {bytes_.get(), size_}; }
    /// Only to a size that is not larger.
    void resize(std::size_t size) { size_ = size; }
    /// Empties it; the memory of an unusually long message is given back.
    void clear()
    {
        size_ = 0;
        if (capacity_ > (1u << 20))
        {
            bytes_.reset();
            capacity_ = 0;
        }
    }

    /// Room for n more bytes; what is written there counts after advance().
    char* room(std::size_t n)
    {
        if (capacity_ - size_ < n)
            grow(n);
        return bytes_.get() + size_;
    }
    void advance(std::size_t n) { size_ += n; }

    void append(const char* s, std::size_t n)
    {
        if (n == 0)
            return;
        std::memcpy(room(n), s, n);
        size_ += n;
    }
    sink& operator+=(char c)
    {
        *room(1) = c;
        ++size_;
        return *this;
    }
    sink& operator+=(std::string_view s)
    {
        append(s.data(), s.size());
        return *this;
    }

private:
    void grow(std::size_t n)
    {
        std::size_t capacity = capacity_ < 2048 ? 4096 : capacity_ * 2;
        while (capacity - size_ < n)
            capacity *= 2;
        std::unique_ptr<char[]> bytes(new char[capacity]);
        if (size_ != 0)
            std::memcpy(bytes.get(), bytes_.get(), size_);
        bytes_ = std::move(bytes);
        capacity_ = capacity;
    }

    std::unique_ptr<char[]> bytes_;
    std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace dtbridge::format
