// A small pick pipeline: say what to pick, answer the robot's questions, and a stub arm goes to the target.
//
//   ros2 run clue_ros scripted_ground --ros-args -r __ns:=/clue &        # no model and no camera needed
//   ros2 run pick_pipeline_cpp pick_pipeline hand me the mug --ros-args -r __ns:=/clue
//
// Every way a goal can end has a plan (plans.hpp). And a target can be taken back after the result ("no, the left one"):
// then the arm stops, and goes to the new one if there is one. Copy it, and put your own arm in the place of StubArm.
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
#include "clue_ros/msg/correction.hpp"
#include "clue_ros/msg/target.hpp"
#include "clue_ros/srv/answer.hpp"
#include "geometry_msgs/msg/point_stamped.hpp"
#include "plans.hpp"
#include "rclcpp/rclcpp.hpp"
#include "rclcpp_action/rclcpp_action.hpp"

namespace pick_pipeline
{

using clue_ros::action::Ground;
using clue_ros::msg::Correction;
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

/// Says where it would go, and takes `takes` for it. A real one transforms the point at its stamp (tf2) and plans.
class StubArm
{
public:
  std::chrono::milliseconds takes{2000};

  /// `target`: metres in the optical frame (x right, y down, z forward) named by its header.
  void start(const geometry_msgs::msg::PointStamped & target)
  {
    target_ = target;
    say("goes to");
  }
  void arrive() {say("picks at");}
  /// At once, wherever it is.
  void stop() {std::cout << "arm: stops" << std::endl;}

private:
  void say(const char * does) const
  {
    const auto & point = target_.point;
    std::cout << "arm: " << does << " x " << point.x << " y " << point.y << " z " << point.z << " m in " <<
      target_.header.frame_id << std::endl;
  }

  geometry_msgs::msg::PointStamped target_;
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
    // A person may take a target back as soon as she sees where the arm goes. Questions about the new target go to her
    // ears (`utterance`) and are answered by `speech` or `answer`: no goal is open that could carry feedback.
    correction_ = create_subscription<Correction>(
      "correction", 10, [this](Correction::ConstSharedPtr message) {on_correction(*message);});
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
    over_ = false;
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
        } else {
          held_.dialogue = hexadecimal(handle->get_goal_id());
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
    } else if (held_.dialogue == hexadecimal(wrapped.goal_id)) {  // a correction may overtake the result
      go(result.target);
    }
  }

  void go(const clue_ros::msg::Target & target)
  {
    if (!target.has_position) {
      end({Plan::OPERATOR, Ground::Result::NONE, "found, but without a position: " + target.position_reason});
      return;
    }
    arm_.start(target.position);
    arrival_ = create_wall_timer(
      arm_.takes, [this]() {
        arrival_->cancel();
        arrival_.reset();
        arm_.arrive();
        end({Plan::NONE, Ground::Result::NONE, ""});
      });
  }

  void on_correction(const Correction & message)
  {
    const Order order = held_.hear(message);
    if (order == Order::NOTHING) {
      return;
    }
    if (arrival_) {
      arrival_->cancel();
      arrival_.reset();
      arm_.stop();
    }
    if (order == Order::GO) {
      go(message.target);
    } else if (order == Order::GIVE_UP && message.state == Correction::WITHDRAWN) {
      end({Plan::STOP, Ground::Result::ABANDONED, "the target was taken back: " + message.text});
    } else if (order == Order::GIVE_UP) {
      const Plan plan = plan_of(message.error_code);
      // Sending the goal again would pick what was taken back.
      end({plan == Plan::RETRY ? Plan::REPHRASE : plan, message.error_code, message.error_msg});
    }
  }

  void end(const Outcome & outcome)
  {
    if (over_) {
      return;  // a correction after the arm was there: it has been obeyed, and nobody waits
    }
    if (outcome.plan == Plan::RETRY && attempts_ < ATTEMPTS) {
      send();
    } else {
      over_ = true;
      done_.set_value(outcome);
    }
  }

  Ask ask_;
  StubArm arm_;
  rclcpp_action::Client<Ground>::SharedPtr ground_;
  rclcpp::Client<Answer>::SharedPtr answer_;
  rclcpp::Subscription<Correction>::SharedPtr correction_;
  rclcpp::TimerBase::SharedPtr arrival_;  // while the arm moves
  Held held_;
  bool over_ = true;
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
