#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/async/turnstile.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/net/http_client.hpp>
#include <dtbridge/poll/answer.hpp>
#include <dtbridge/poll/element_splitter.hpp>
#include <dtbridge/poll/window.hpp>

namespace dtbridge::poll
{

/// Takes one answer into the archive while it streams in: complete elements in blocks of 256 KiB, without the
/// position; the last block is kept back for the end of the answer, which may bring the position with it.
class intake : public net::body_sink
{
public:
    struct order
    {
        std::int64_t late_from = 0;  ///< new breaches created in [late_from, late_before) count as late
        std::int64_t late_before = 0;
        std::optional<window> created;  ///< takes only these
        std::optional<window> asked;    ///< by creation: looks whether the master heeded it
        bool survey = false;            ///< archives nothing, only looks what is missing
        bool minimal = false;           ///< an answer that may leave acknowledged out though the breach is
        bool keep_keys = false;
        bool archive_only = false;
    };
    struct tally
    {
        std::int64_t shown = 0, archived = 0, repeated = 0, reused_pbids = 0, set_aside = 0, late = 0;
        std::int64_t changes = 0;           ///< of the state of what was archived before
        std::vector<breach_key> late_keys;  ///< of the first 10,000
        bool ignored_creation = false;      ///< the answer is by activity although creation was asked for
        bool has_pbscore = false;
        bool lacks_creation = false;  ///< an element had no creationTime
    };
    static constexpr std::size_t block_bytes = 256u << 10;
    /// An answer that holds more than this waits for its turn to be taken in on.
    static constexpr std::size_t short_bytes = 64u << 10;
    static constexpr std::size_t most_keys = 1u << 18;    ///< kept of one answer
    static constexpr std::size_t most_missing = 33;       ///< kept of a survey
    static constexpr std::size_t survey_portion = 4'096;  ///< elements looked up at once

    /// What is told of while it is taken in, and who else takes one in; as in poller_parts.
    struct listeners
    {
        std::shared_ptr<turnstile> turns;
        std::function<void(std::int64_t last_seq)> on_news;
        std::function<void(const std::vector<noted_change>&)> on_changes;
    };

    /// steady answers steady ms. store and tell must outlive this.
    intake(archive& store, order what, const listeners& tell, std::function<std::int64_t()> steady);
    ~intake() override;

    void head(const net::http_response& r) override;
    awaitable<outcome<bool>> body(std::string_view piece) override;

    /// Commits what is left. With a position it goes into the same transaction where there is something new;
    /// answers whether it was saved.
    awaitable<outcome<bool>> finish(std::optional<poll_position> position,
                                    std::optional<window> asked,
                                    bool sweep);
    /// The same for a survey.
    awaitable<outcome<bool>> finish_survey();

    /// For another attempt. What was committed stays counted.
    void reset();

    body_facts facts() const;
    const tally& counts() const { return tally_; }
    /// Of what was shown, where the order wants them.
    std::vector<breach_key> take_keys() { return std::move(keys_); }
    /// There were more than most_keys.
    bool lacks_keys() const { return lacks_keys_; }
    /// What a survey found missing, at most most_missing.
    const std::vector<breach_key>& missing() const { return missing_; }
    std::uint64_t bytes() const { return splitter_.bytes(); }
    /// When the head arrived, steady ms; nothing before.
    std::optional<std::int64_t> head_at() const { return head_at_; }
    const std::string& date() const { return date_; }
    /// Set where the archive, not the master, ended the exchange.
    const std::optional<failure>& archive_failure() const { return archive_failure_; }

private:
    struct bad
    {
        std::string raw, reason;
    };
    void take(std::string_view element, bool top_object, std::optional<bad>& refused);
    void look(const breach& b);
    void look_at_state(const breach& b);
    awaitable<void> wait_for_turn();
    awaitable<outcome<bool>> leave_out_repeated(std::int64_t& late_here);
    awaitable<outcome<bool>> note_repeated();
    awaitable<outcome<bool>> look_up_portion();
    void drop_unused_bytes();
    awaitable<outcome<bool>> put_aside(bad b);
    awaitable<outcome<bool>> flush(std::optional<poll_position> position,
                                   std::optional<window_counts> counts);
    bool is_late(const breach_key& k) const;
    void note_late(const breach_key& k);
    outcome<bool> archive_error(const failure& f);

    archive& store_;
    order order_;
    const listeners& tell_;
    std::function<std::int64_t()> steady_;
    element_splitter splitter_;
    turnstile::turn turn_;
    bool has_turn_ = false;
    std::unique_ptr<breach> reader_;
    archive_block block_;
    std::vector<std::pair<std::size_t, std::size_t>> spans_;  // of block_.elements in block_.bytes
    std::vector<std::optional<shown_state>> states_;          // of block_.elements; of a survey's portion
    std::vector<shown_state> repeated_;
    std::vector<breach_key> portion_, keys_, missing_;
    bool lacks_keys_ = false;
    std::string object_;
    std::string_view api_error_;
    std::optional<std::int64_t> head_at_;
    std::string date_;
    std::optional<failure> archive_failure_;
    tally tally_;
    bool takes_elements_ = true, is_breach_ = false, shows_breach_ = false, mostly_new_ = false;
    bool is_long_ = false;  ///< more than one block
};

}  // namespace dtbridge::poll
