// A small pick pipeline: say what to pick, answer the robot's questions, and a stub arm goes to the target.
//
//   ros2 run clue_ros scripted_ground --ros-args -r __ns:=/clue &        # no model and no camera needed
//   ros2 run pick_pipeline_cpp pick_pipeline hand me the mug --ros-args -r __ns:=/clue
//
// Every way a goal can end has a plan (plans.hpp). Copy it, and put your own arm in the place of StubArm.
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "clue_ros/action/ground.hpp"
#include "clue_ros/srv/answer.hpp"
#include "geometry_msgs/msg/point_stamped.hpp"
#include "plans.hpp"
#include "rclcpp/rclcpp.hpp"
#include "rclcpp_action/rclcpp_action.hpp"

namespace pick_pipeline
{

using clue_ros::action::Ground;
using clue_ros::srv::Answer;
using GoalHandle = rclcpp_action::ClientGoalHandle<Ground>;

constexpr int ATTEMPTS = 2;  // how often a goal is sent whose failure may be over the next time

/// `plan` NONE: the arm was there. `code` and `message` are the last result's.
struct Outcome
{
  Plan plan;
  std::uint16_t code;
  std::string message;
};

/// Says where it would go. A real one transforms the point at its stamp (tf2) and plans.
class StubArm
{
public:
  /// `target`: metres in the optical frame (x right, y down, z forward) named by its header.
  void pick(const geometry_msgs::msg::PointStamped & target)
  {
    const auto & point = target.point;
    std::cout << "arm: picks at x " << point.x << " y " << point.y << " z " << point.z << " m in " <<
      target.header.frame_id << std::endl;
  }
};

class PickPipeline : public rclcpp::Node
{
public:
  /// Gives the person's answer to a question; called in a thread of its own, it may take its time.
  using Ask = std::function<std::string(const std::string &)>;

  PickPipeline(Ask ask, StubArm arm)
  : Node("pick_pipeline"), ask_(std::move(ask)), arm_(std::move(arm)),
    ground_(rclcpp_action::create_client<Ground>(this, "ground")),
    answer_(create_client<Answer>("answer"))
  {
  }

  /// False if the program was interrupted before somebody served `ground` and `answer`.
  bool wait_for_server()
  {
    using namespace std::chrono_literals;
    while (rclcpp::ok()) {
      if (ground_->wait_for_action_server(1s) && answer_->wait_for_service(1s)) {
        return true;
      }
      RCLCPP_INFO(get_logger(), "waiting for the clue node");
    }
    return false;
  }

  /// From words to the arm. One at a time; the node must be spun until the future is ready.
  std::shared_future<Outcome> pick(const std::string & expression)
  {
    expression_ = expression;
    attempts_ = 0;
    done_ = std::promise<Outcome>();
    send();
    return done_.get_future().share();
  }

private:
  void send()
  {
    ++attempts_;
    asked_ = 0;
    Ground::Goal goal;
    goal.expression = expression_;
    goal.ambiguity_policy = Ground::Goal::ASK;
    rclcpp_action::Client<Ground>::SendGoalOptions options;
    options.goal_response_callback = [this](const GoalHandle::SharedPtr & handle) {
        if (!handle) {
          end({Plan::RETRY, Ground::Result::NOT_ACTIVE, "the goal was refused: the clue node is not active"});
        }
      };
    options.feedback_callback =
      [this](GoalHandle::SharedPtr, const std::shared_ptr<const Ground::Feedback> feedback) {
        on_feedback(*feedback);
      };
    options.result_callback = [this](const GoalHandle::WrappedResult & wrapped) {
        on_result(wrapped);
      };
    ground_->async_send_goal(goal, options);
  }

  void on_feedback(const Ground::Feedback & feedback)
  {
    if (feedback.state != Ground::Feedback::WAITING_FOR_ANSWER || feedback.questions_asked == asked_) {
      return;
    }
    asked_ = feedback.questions_asked;
    // A thread, because a person takes seconds, and the node must hear a result meanwhile. It holds the node.
    auto self = std::static_pointer_cast<PickPipeline>(shared_from_this());
    std::thread(
      [self, question = feedback.question]() {
        auto request = std::make_shared<Answer::Request>();
        request->kind = Answer::Request::TEXT;
        request->text = self->ask_(question);
        if (!rclcpp::ok()) {
          return;
        }
        self->answer_->async_send_request(
          request, [self](rclcpp::Client<Answer>::SharedFuture future) {
            const auto response = future.get();
            if (!response->accepted) {
              RCLCPP_WARN(self->get_logger(), "the answer was not taken: %s", response->message.c_str());
            }
          });
      }).detach();
  }

  void on_result(const GoalHandle::WrappedResult & wrapped)
  {
    const Ground::Result & result = *wrapped.result;
    if (wrapped.code != rclcpp_action::ResultCode::SUCCEEDED) {
      end({plan_of(result.error_code), result.error_code, result.error_msg});
    } else if (!result.target.has_position) {
      end({Plan::OPERATOR, Ground::Result::NONE, "found, but without depth: remap `depth` and `camera_info`"});
    } else {
      arm_.pick(result.target.position);
      end({Plan::NONE, Ground::Result::NONE, ""});
    }
  }

  void end(const Outcome & outcome)
  {
    if (outcome.plan == Plan::RETRY && attempts_ < ATTEMPTS) {
      send();
    } else {
      done_.set_value(outcome);
    }
  }

  Ask ask_;
  StubArm arm_;
  rclcpp_action::Client<Ground>::SharedPtr ground_;
  rclcpp::Client<Answer>::SharedPtr answer_;
  std::string expression_;
  std::promise<Outcome> done_;
  int attempts_ = 0;
  std::uint32_t asked_ = 0;  // of the questions of this goal
};

/// The person at the keyboard; the end of the input is a "never mind".
std::string ask_terminal(const std::string & question)
{
  std::cout << "robot: " << question << "\nyou: " << std::flush;
  std::string answer;
  return std::getline(std::cin, answer) && !answer.empty() ? answer : "never mind";
}

}  // namespace pick_pipeline

/// 0: the arm was there; 1: the plan says what to do instead; 2: no words; 130: interrupted.
int main(int argc, char ** argv)
{
  using namespace pick_pipeline;
  const std::vector<std::string> words = rclcpp::init_and_remove_ros_arguments(argc, argv);
  std::string expression;
  for (std::size_t i = 1; i < words.size(); ++i) {
    expression += (i > 1 ? " " : "") + words[i];
  }
  if (expression.empty()) {
    std::cerr << "say what to pick: pick_pipeline hand me the mug\n";
    return 2;
  }
  auto node = std::make_shared<PickPipeline>(ask_terminal, StubArm());
  if (!node->wait_for_server()) {
    return 130;
  }
  const auto outcome = node->pick(expression);
  if (rclcpp::spin_until_future_complete(node, outcome) != rclcpp::FutureReturnCode::SUCCESS) {
    return 130;
  }
  const Outcome & end = outcome.get();
  if (end.plan != Plan::NONE) {
    std::cout << "no pick (" << end.code << "): " << end.message << "\nplan: " << words_of(end.plan) << std::endl;
  }
  rclcpp::shutdown();
  return end.plan == Plan::NONE ? 0 : 1;
}
