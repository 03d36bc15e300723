#include <dtbridge/core/secret.hpp>

#include <string.h>

namespace dtbridge
{

secret& secret::operator=(const secret& other)
{
    if (this == &other)
        return *this;
    wipe();  // before the string can give its memory back
    text_ = other.text_;
    return *this;
}

secret& secret::operator=(secret&& other) noexcept
{
    if (this == &other)
        return *this;
    wipe();
    text_.swap(other.text_);
    other.wipe();  // a swapped short text may have left bytes behind
    return *this;
}

bool secret::equals(std::string_view other) const
{
    if (text_.size() != other.size())
        return false;
    volatile unsigned char difference = 0;
    for (std::size_t i = 0; i < text_.size(); ++i)
        difference = static_cast<unsigned char>(difference | (text_[i] ^ other[i]));
    return difference == 0;
}

void secret::wipe() noexcept
{
    text_.resize(text_.capacity());  // never allocates; earlier, longer texts are wiped too
    ::explicit_bzero(text_.data(), text_.size());
    text_.clear();
}

}  // namespace dtbridge
