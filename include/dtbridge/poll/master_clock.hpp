#pragma once

#include <cstdint>
#include <optional>

namespace dtbridge::poll
{

/// One moment by this host's two clocks, ms. The wall clock may be set; the steady one may not.
struct instant
{
    std::int64_t wall = 0;    ///< since 1970
    std::int64_t steady = 0;  ///< since anything
};

/// What time a master has, learnt from the Date header of its answers and carried on by the steady clock, so
/// that setting this host's clock changes nothing but the reported skew. Pure.
class master_clock
{
public:
    /// A Date further than this from what was expected is believed only when a second answer agrees with it.
    static constexpr std::int64_t jump = 5 * 60'000;

    enum class heard { taken, doubted, jumped_forward, jumped_back };

    /// date: ms since 1970, whole seconds; steady: when the head of the answer arrived.
    heard listen(std::int64_t date, std::int64_t steady);
    /// At once, without doubt: the master itself said that our date is wrong (API DATE ERROR).
    void believe(std::int64_t date, std::int64_t steady);

    bool known() const { return known_; }
    /// The latest time that the master may have now, ms since 1970: a Date leaves up to a second open. By the
    /// own wall clock until a Date was heard.
    std::int64_t now(instant own) const;
    /// Master minus own, rounded to seconds; nothing until a Date was heard.
    std::optional<std::int64_t> skew_seconds(instant own) const;

private:
    std::int64_t date_ = 0, steady_ = 0;
    std::int64_t doubted_date_ = 0, doubted_steady_ = 0;
    bool known_ = false, doubted_ = false;
};

}  // namespace dtbridge::poll
