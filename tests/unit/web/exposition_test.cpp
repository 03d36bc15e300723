#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>

#include <dtbridge/core/histogram.hpp>
#include <dtbridge/web/exposition.hpp>

using dtbridge::web::exposition;
using type = exposition::type;

BOOST_AUTO_TEST_CASE(a_metric_is_help_type_and_samples)
{
    exposition e;
    e.metric("x_total", type::counter, "Things.").sample({{"who", "a"}}, std::int64_t{7}).sample({}, 0.5);
    BOOST_TEST(e.text() ==
               "# HELP x_total Things.\n# TYPE x_total counter\nx_total{who=\"a\"} 7\nx_total 0.5\n");
}

BOOST_AUTO_TEST_CASE(label_values_are_escaped_as_the_format_wants)
{
    exposition e;
    e.metric("g", type::gauge, "G.").sample({{"a", "q\"b\\n\nz"}, {"b", "\xff"}}, std::int64_t{1});
    BOOST_TEST(e.text().find("g{a=\"q\\\"b\\\\n\\nz\",b=\"\xEF\xBF\xBD\"} 1\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(odd_numbers_have_their_own_spelling)
{
    exposition e;
    e.metric("g", type::gauge, "G.")
        .sample({}, std::numeric_limits<double>::infinity())
        .sample({}, -std::numeric_limits<double>::infinity())
        .sample({}, std::numeric_limits<double>::quiet_NaN());
    BOOST_TEST(e.text().ends_with("g +Inf\ng -Inf\ng NaN\n"));
}

BOOST_AUTO_TEST_CASE(a_histogram_is_cumulated)
{
    dtbridge::histogram<2> h{{1, 2.5}};
    for (const double v : {0.5, 1.0, 2.0, 9.0})
        h.add(v);
    exposition e;
    e.metric("h", type::histogram, "H.").sample_histogram("m", "a", h);
    BOOST_TEST(e.text() ==
               "# HELP h H.\n# TYPE h histogram\n"
               "h_bucket{m=\"a\",le=\"1\"} 2\nh_bucket{m=\"a\",le=\"2.5\"} 3\n"
               "h_bucket{m=\"a\",le=\"+Inf\"} 4\nh_sum{m=\"a\"} 12.5\nh_count{m=\"a\"} 4\n");
}
