#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace dtbridge
{

/// A token or password: no operator<<, wiped on destruction, readable only by the one call that says so.
class secret
{
public:
    secret() = default;
    explicit secret(std::string_view text) : text_(text) {}
    secret(const secret&) = default;
    secret(secret&& other) noexcept : text_(other.text_) { other.wipe(); }
    secret& operator=(const secret& other);
    secret& operator=(secret&& other) noexcept;
    ~secret() { wipe(); }

    bool empty() const { return text_.empty(); }
    /// The text itself. The view must not outlive the secret and must not reach a log or an error.
    std::string_view reveal() const { return text_; }
    /// In constant time for texts of one length.
    bool equals(std::string_view other) const;
    bool operator==(const secret& other) const { return equals(other.text_); }

private:
    void wipe() noexcept;
    std::string text_;
};

}  // namespace dtbridge
